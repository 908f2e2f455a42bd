#!/usr/bin/env bash
# Sets up .venv as far as it is needed, then serves, tests, measures, or stops there.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$root/.venv/bin/python"

usage() {
  cat <<'HELP'
Jarvis LLM Proxy: serves a model on your own machine, and those of other servers, over the OpenAI
HTTP API.

  ./run.sh                  set up what the chosen engine needs, and serve on 127.0.0.1:8000
  ./run.sh [flags]          the same, with flags
  ./run.sh setup [flags]    set up only
  ./run.sh --check [flags]  tell which other servers can be reached and which models they have, and
                            serve nothing; the exit code is 1 where one can't
  ./run.sh test [args]      set up everything, both engines included, and run all checks and tests;
                            args go to pytest
  ./run.sh bench [args]     measure this server against others on this machine, in turns;
                            ./run.sh bench --help tells more
  ./run.sh parity [args]    run a model through both engines, and say whether one may stand in for
                            the other; ./run.sh parity --help tells more
  ./run.sh soak [args]      let many clients of all kinds at a server of its own, and say what was
                            lost, leaked or wrong; ./run.sh soak --help tells more
  ./run.sh new-key NAME     make a key for clients, and the lines for a file of keys (docs/keys.md)
  ./run.sh hash-key         read a key, and print what a file of keys can know it by
  ./run.sh --help           this text

Flags:
  --engine ENGINE           llama_cpp or vllm, which holds the model; or remote: other servers
                            alone answer (VLLM_BASE_URL or upstreams.toml, see .env.example), and
                            nothing is installed for an engine
  --model MODEL             a GGUF file, a Hugging Face folder, or a hub id
  --host ADDRESS            where to listen (127.0.0.1)
  --port PORT               where to listen (8000); 0 picks a free port
  --chat-format FORMAT      auto, chatml, llama3, mistral, model, or a .jinja file
  --context-window TOKENS   prompt and answer together
  --env-file FILE           settings to read instead of .env

All settings: .env.example, to be copied to .env. Flags are stronger than the environment, which is
stronger than .env. JARVIS_ACCELERATOR=auto|cpu|cuda|metal|rocm|vulkan says what to build for.

Signals: SIGTERM and SIGINT (Ctrl-C) let what runs come to its end (JARVIS_DRAIN_TIMEOUT_S), and a
second one ends all at once; SIGHUP reads keys and limits again.

Exit codes: 0 stopped as it was told to; 1 a check, the start or the closing failed; 2 the settings
allow no start; 3 an engine died and can't be brought back (a supervisor should start it again);
130 and 143 ended by a second signal.
HELP
}

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  local name
  for name in python3.11 python3.12 python3.13 python3.14 python3 python; do
    if command -v "$name" >/dev/null && is_new_enough "$name"; then
      echo "$name"
      return
    fi
  done
  echo "run.sh: Python 3.11 or newer was not found: install it (sudo apt-get install python3.11" \
    "python3.11-venv, brew install python@3.11, or https://www.python.org/downloads)" >&2
  return 1
}

set_up() {
  local runner="$python"
  if ! is_new_enough "$python"; then
    runner="$(find_python)"
  fi
  (cd "$root" && exec "$runner" -m scripts.setup_environment "$@")
}

run_tests() {
  cd "$root"
  "$python" -m ruff format --check .
  "$python" -m ruff check .
  "$python" -m mypy --strict .
  exec "$python" -m pytest "$@"
}

case "${1:-}" in
  -h | --help | help) usage ;;
  setup) set_up "$@" ;;
  test)
    set_up test
    shift
    run_tests "$@"
    ;;
  bench)
    set_up bench
    shift
    PYTHONPATH="$root" exec "$python" -m benchmarks "$@"
    ;;
  parity)
    shift
    set_up parity "$@"
    PYTHONPATH="$root" exec "$python" -m parity "$@"
    ;;
  soak)
    shift
    set_up bench
    set_up setup "$@"
    PYTHONPATH="$root" exec "$python" -m soak "$@"
    ;;
  new-key | hash-key)
    program="api.access.${1/-/_}"
    shift
    set_up setup --engine remote >&2
    PYTHONPATH="$root" exec "$python" -m "$program" "$@"
    ;;
  *)
    set_up serve "$@"
    exec "$python" "$root/main.py" "$@"
    ;;
esac
