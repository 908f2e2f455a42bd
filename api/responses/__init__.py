"""OpenAI's Responses API above the pipeline: conversations, answers, events, and what is kept."""
