# shellcheck shell=bash
# Asks before a script changes the machine; sourced by those that do.

# consent WHAT COMMAND: succeeds if the machine may be changed: INSTALL=1 or CI=true is set, or a person agrees on the
# terminal. Otherwise the script ends, and COMMAND tells how to make the change by hand.
consent() {
	local answer=
	if [ "${INSTALL:-}" = 1 ] || [ "${CI:-}" = true ]; then
		return 0
	fi
	if [ -t 0 ] && [ -t 2 ]; then
		read -r -p "Kubernaut needs to $1 ($2). Continue? [y/N] " answer || true
	fi
	case $answer in
	[yY] | [yY][eE][sS]) return 0 ;;
	esac
	echo "not allowed to $1: run \"$2\", or repeat with INSTALL=1" >&2
	exit 1
}
