# Sourced by quickstart and check: goes to the clone's folder and gives set_up, which makes .venv
# hold what requirements.lock says, or ends with exit code 2.

unset CDPATH
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

# No other environment, and no setting of what pip installs or where, may leak in. Where pip gets
# packages from stays as configured.
unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH
unset PYTHONDONTWRITEBYTECODE # packages are compiled when first imported, and that has to be kept
for name in ${!PIP_@}; do
  case $name in
    *INDEX* | *LINKS | *CERT | *HOST | *PROXY | *TIMEOUT | *RETRIES | *CACHE* | PIP_CONFIG_FILE) ;;
    *) unset "$name" ;;
  esac
done
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# "complete CHECKSUM FOLDER", or "installing PROCESS" while (or since) a set-up was at work. A .venv
# without this file was made by hand; it is kept, and installed into.
STATE=.venv/set-up

set_up() {
  local wanted state python start=$SECONDS
  wanted="complete $(cat requirements.lock setup.py | cksum) $PWD"
  state=$(cat "$STATE" 2>/dev/null || true)
  if [[ $state == "$wanted" && -x .venv/bin/python ]]; then return; fi

  refuse_to_disturb "$state"
  case $state in
    "installing "*) start_over "an earlier set-up did not finish" ;;
    "" | *" $PWD") ;;
    *) start_over "this folder was moved, and a .venv does not work elsewhere" ;;
  esac
  if [[ -e .venv ]]; then
    python=.venv/bin/python
    fits "$python" || fail ".venv has no Python 3.11, 3.12 or 3.13: remove it and run this again"
  else
    python=$(find_python)
  fi

  echo "setting up .venv with $("$python" -V) (the first time: about 120 packages)"
  mkdir -p .venv
  echo "installing $$" >"$STATE"
  [[ -e .venv/bin/python ]] || "$python" -m venv .venv || fail "could not make .venv (see above)"
  # The lock names every package, so pip need not look at what they ask for (see also setup.py).
  install --no-deps --require-hashes -r requirements.lock
  install --no-deps --no-build-isolation -e .
  echo "$wanted" >"$STATE"
  echo "set up in $((SECONDS - start)) s"
}

install() {
  if command -v uv >/dev/null; then # many times faster; but it does not know pip's configuration
    uv pip install --quiet --python .venv/bin/python "$@" && return
    echo "uv could not install it; trying pip"
  fi
  .venv/bin/python -m pip install -qq --no-compile "$@" ||
    fail "the set-up did not finish (see above); run this again to start over"
}

# Prints the first Python on the PATH that fits and can make environments.
find_python() {
  local python looked=""
  for python in python3 python3.13 python3.12 python3.11; do
    if fits "$python" && "$python" -c "import ensurepip, venv" 2>/dev/null; then
      echo "$python"
      return
    fi
    looked+=$'\n'"  $python: $("$python" -V 2>/dev/null || echo "not there")"
  done
  fail "no Python 3.11, 3.12 or 3.13 with venv (Debian, Ubuntu: apt install python3-venv)$looked"
}

fits() {
  "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" 2>/dev/null
}

refuse_to_disturb() {
  local process=${1#installing }
  if [[ $process != "$1" && $process != "$$" ]] && kill -0 "$process" 2>/dev/null; then
    fail "process $process is setting up .venv: wait for it (if it is something else, remove .venv)"
  fi
}

start_over() {
  echo "$1: starting over"
  rm -rf .venv
}

fail() {
  echo "error: $1" >&2
  exit 2
}
