"""The process around the application: its sockets, signals, log and end. Knows no route."""
