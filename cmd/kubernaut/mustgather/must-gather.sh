#!/usr/bin/env bash
# Collects diagnostics of Kubernaut into a directory and an archive. Requires bash, kubectl and standard tools
# (coreutils, tar, gzip, sed, awk). Changes nothing in the cluster. See `must-gather.sh --help`.
#
# The sections of this file:
#   steps        what is collected: one table; add a step there
#   flags        and the environment
#   redaction    the one filter that everything written passes
#   objects      JSON of the API server to YAML files
#   running      concurrent steps, time limits, what could not be collected
#   cluster, pods, DataStorage, timelines, overview    the functions of the steps
#   main         order, interrupts, the archive
set -uo pipefail # no -e: every step is best effort
export LC_ALL=C  # bytes, also those that are not valid text
umask 077        # the archive is private

readonly TOOL=kubernaut/must-gather VERSION=0.1.0
readonly OURS=app.kubernetes.io/part-of=kubernaut
readonly HOME_NAMESPACE=kubernaut-system
readonly JOBS=6                    # concurrent steps
readonly LOG_BYTES=10485760        # maximum size of one log
readonly LOG_LINES=40000           # likewise in lines; the newest ones
readonly RECENT_FAILURES=20        # timelines of failed requests that were not named
readonly STUCK=5 STUCK_AFTER=60    # likewise, of the oldest requests without progress for at least as many seconds
readonly PAGE=500 PAGES=20         # of audit events, for one timeline
readonly MANAGEMENT_PORT=management # the name of the port with probes and metrics

# Steps
#
# To add one, write a function that prints or saves what it finds, and add a
# line with a name for people, the function and its arguments. In a function:
#   kube WORDS...          is kubectl, within the step's time limit; when it fails, not-collected.txt names it
#   ... | save FILE        writes a file of the archive, redacted
#   missed WHAT WHY HOW    names something else that could not be collected
# Steps run concurrently; those of a later table can use the files of earlier ones.

# cluster_steps collects what belongs to no namespace.
cluster_steps() {
	step "kubernaut.ai resources" collect_our_resources
	step "versions" collect_versions
	step "API server's health" collect_api_server_health
	step "nodes" collect_nodes
	step "cluster roles" collect_our_cluster_objects clusterroles.rbac.authorization.k8s.io
	step "cluster role bindings" collect_our_cluster_objects clusterrolebindings.rbac.authorization.k8s.io
	step "persistent volumes" collect_volumes
	step "storage classes" collect_cluster_objects storageclasses.storage.k8s.io
	step "events of all namespaces" collect_events_for_timelines
}

# namespace_steps collects what belongs to one namespace.
namespace_steps() { # NAMESPACE
	local resource
	step "pods in $1" collect_pods "$1"
	step "events in $1" collect_events "$1"
	step "secrets' names in $1" collect_secret_names "$1"
	step "namespace $1" collect_namespace "$1"
	step "usage in $1" collect_usage "$1"
	step "leases in $1" collect_leases "$1"
	for resource in \
		services configmaps serviceaccounts persistentvolumeclaims resourcequotas limitranges \
		deployments.apps statefulsets.apps replicasets.apps daemonsets.apps jobs.batch cronjobs.batch \
		endpointslices.discovery.k8s.io ingresses.networking.k8s.io networkpolicies.networking.k8s.io \
		poddisruptionbudgets.policy horizontalpodautoscalers.autoscaling \
		roles.rbac.authorization.k8s.io rolebindings.rbac.authorization.k8s.io; do
		step "$resource in $1" collect_list "$1" "$resource"
	done
}

# pod_steps collects what belongs to one pod: find_pods has found its containers.
pod_steps() { # NAMESPACE POD
	local kind container restarts
	while IFS=$'\t' read -r _ _ kind container restarts; do
		case $kind in
		port) step "state of $2 in $1" collect_state "$1" "$2" "$restarts" ;;
		container)
			step "log of $2/$container in $1" collect_log "$1" "$2" "$container" current
			[ "$restarts" = 0 ] || step "earlier log of $2/$container in $1" collect_log "$1" "$2" "$container" previous
			;;
		esac
	done < <(awk -F'\t' -v ns="$1" -v pod="$2" '$1 == ns && $2 == pod' "$WORK/pods")
}

# summary_steps make files of what the others have collected.
summary_steps() {
	local id
	step "table of audit stores" summarize_audit_stores
	step "state of DataStorage" summarize_datastorage
	while IFS= read -r id; do
		step "timeline of $id" make_timeline "$id"
	done <"$WORK/ids"
}

# Flags

usage() {
	cat <<USAGE
Collects diagnostics of Kubernaut: resources, logs, events, metrics, the state of audit stores and of DataStorage, and
timelines of requests. Changes nothing in the cluster.

Usage: $NAME [flags]

  --namespace NS         namespace to collect; may be repeated (default: $HOME_NAMESPACE, and namespaces with
                         pods labeled $OURS)
  --since DURATION       age of the oldest logs and failures to collect, as in 30m or 1h30m (default: 1h)
  --correlation-id ID    request that gets a timeline; may be repeated. The $RECENT_FAILURES newest failed requests and
                         the $STUCK oldest stuck ones always have one
  --dest DIR             directory for the directory must-gather-<time> and its archive (default: .)
  --kubeconfig FILE      as kubectl's
  --context NAME         as kubectl's
  --time-limit DURATION  for each step (default: 20s)
  --show-sensitive       include the payloads of signals and the data of sensitive audit events; values of Secrets,
                         passwords and tokens are never included
  --help                 this text

Environment:
  KUBECTL                             the kubectl program
  MUST_GATHER_DATASTORAGE_URL         URL of DataStorage, if it is not the Service "datastorage" of the cluster
  MUST_GATHER_DATASTORAGE_TOKEN_FILE  file with a bearer token for it
  MUST_GATHER_DATASTORAGE_CA_FILE     CA certificates for https
  EXTRA_LOGS                          directory with logs (*.log) and notes (*.txt) of processes outside the cluster

The last line of output is the archive's path. What could not be collected is in the archive's not-collected.txt.
Exit codes: 0 archive written, possibly a partial one after an interrupt; 1 no archive; 2 invalid flags.
USAGE
}

# unusable ends the script because of an invalid flag.
unusable() {
	printf '%s: %s (see %s --help)\n' "$NAME" "$1" "$NAME" >&2
	exit 2
}

# seconds turns a duration into whole seconds, at least 1.
seconds() { # FLAG DURATION
	local rest=$2 total=0 number unit
	[ -n "$rest" ] || unusable "$1 is empty; use for example 30m or 1h30m"
	while [ -n "$rest" ]; do
		[[ $rest =~ ^([0-9]{1,6})(h|m|s|ms)(.*)$ ]] || unusable "$1 $2: not a duration; use for example 30m or 1h30m"
		number=$((10#${BASH_REMATCH[1]})) unit=${BASH_REMATCH[2]} rest=${BASH_REMATCH[3]}
		case $unit in
		h) total=$((total + number * 3600000)) ;;
		m) total=$((total + number * 60000)) ;;
		s) total=$((total + number * 1000)) ;;
		ms) total=$((total + number)) ;;
		esac
	done
	[ "$total" -gt 0 ] || unusable "$1 $2: must be more than 0"
	echo $(((total + 999) / 1000))
}

parse_flags() {
	local flag value
	while [ $# -gt 0 ]; do
		flag=${1%%=*}
		case $flag in
		-h | --help)
			usage
			exit 0
			;;
		--show-sensitive)
			[ "$1" = "$flag" ] || unusable "$1: takes no value"
			SENSITIVE=1
			shift
			continue
			;;
		--since | --namespace | --dest | --correlation-id | --kubeconfig | --context | --time-limit) ;;
		-*) unusable "$1: unknown flag" ;;
		*) unusable "$1: unexpected argument" ;;
		esac
		if [ "$1" != "$flag" ]; then
			value=${1#*=}
		else
			[ $# -gt 1 ] || unusable "$flag: needs a value"
			value=$2
			shift
		fi
		shift
		take_flag "$flag" "$value"
	done
}

take_flag() { # FLAG VALUE
	[ -n "$2" ] || unusable "$1 is empty; give a value or omit the flag"
	case $1 in
	--since) SINCE=$(seconds "$1" "$2") || exit 2 ;;
	--time-limit) LIMIT=$(seconds "$1" "$2") || exit 2 ;;
	--namespace)
		[[ $2 =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || unusable "$1 $2: not a valid namespace name"
		NAMESPACES+=("$2")
		;;
	--correlation-id)
		[[ ${#2} -le 255 && $2 != *[[:cntrl:]]* ]] || unusable "$1: a correlation id is one line of at most 255 bytes"
		IDS+=("$2")
		;;
	--kubeconfig)
		[ -r "$2" ] || unusable "$1 $2: cannot be read"
		KUBE_FLAGS+=(--kubeconfig "$2")
		;;
	--context) KUBE_FLAGS+=(--context "$2") ;;
	--dest) DEST=$2 ;;
	esac
}

# Redaction

# What follows are functions for awk programs.
read -r -d '' SCRUB <<'AWK'
# scrub replaces what looks like a secret in a text.
function scrub(s,    low) {
	if (s ~ /BEGIN [A-Z0-9 ]*PRIVATE KEY/) s = scrub_private_keys(s)
	if (index(s, "://")) s = scrub_urls(s)
	low = tolower(s)
	if (low ~ /passw|passphrase|pwd|secret|token|credential|[a-z][-_.]?key|authorization|cookie/) {
		s = scrub_pairs(s)
		low = tolower(s)
	}
	if (index(low, "bearer")) s = scrub_bearers(s)
	if (index(s, "eyJ")) s = scrub_shape(s, "eyJ[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]*", 30)
	if (index(s, "LS0tLS1CRUdJTi")) s = scrub_shape(s, "LS0tLS1CRUdJTi[A-Za-z0-9+/=]+", 20)
	if (s ~ /(AKIA|ASIA)[0-9A-Z]/) s = scrub_shape(s, "(AKIA|ASIA)[0-9A-Z]+", 20)
	if (s ~ /gh[pousr]_|glpat-|xox[abeprs]-/) s = scrub_shape(s, "(gh[pousr]_|glpat-|xox[abeprs]-)[A-Za-z0-9_-]+", 16)
	return s
}

# scrub_shape replaces what matches and is long enough to be one. Certificates in base64 stay.
function scrub_shape(s, shape, least,    out, word) {
	out = ""
	while (match(s, shape)) {
		word = substr(s, RSTART, RLENGTH)
		if (RLENGTH >= least && word !~ /^LS0tLS1CRUdJTiBDRVJU/) word = "[redacted]"
		out = out substr(s, 1, RSTART - 1) word
		s = substr(s, RSTART + RLENGTH)
	}
	return out s
}

function scrub_private_keys(s,    out, rest) {
	out = ""
	while (match(s, /-----BEGIN [A-Z0-9 ]*PRIVATE KEY/)) {
		out = out substr(s, 1, RSTART - 1) "[redacted]"
		rest = substr(s, RSTART + RLENGTH)
		s = ""
		if (match(rest, /-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----/)) s = substr(rest, RSTART + RLENGTH)
	}
	return out s
}

# scrub_urls replaces the user information in URLs.
function scrub_urls(s,    out, at) {
	out = ""
	while ((at = index(s, "://")) > 0) {
		out = out substr(s, 1, at + 2)
		s = substr(s, at + 3)
		# The second form has a password with characters that should have been escaped.
		if (match(s, /^[^] \t"'<>(){}[\\\/?#@]+@/) || match(s, /^[^] \t"'<>(){}[\\\/?#@:]*:[^ \t"'<>]*@/)) {
			out = out "[redacted]@"
			s = substr(s, RLENGTH + 1)
		}
	}
	return out s
}

function scrub_bearers(s,    out, word) {
	out = ""
	while (match(tolower(s), /bearer[ +]+[a-z0-9._~+\/=-]+/)) {
		word = substr(s, RSTART + 7, RLENGTH - 7)
		out = out substr(s, 1, RSTART + 6)
		# "bearer token" is prose
		out = out ((word ~ /[A-Z0-9]/ || length(word) > 20) && word != "[redacted]" ? "[redacted]" : word)
		s = substr(s, RSTART + RLENGTH)
	}
	return out s
}

# scrub_pairs replaces the values of name=value, name: value, "name":"value" and --name value.
function scrub_pairs(s,    out, name, sep) {
	out = ""
	while (match(tolower(s), /(passwords?|passwd|passphrase|pwd|secret|token|credentials?|(api|access|account|private|signing|encryption)[-_.]?key|authorization|cookie)["'\\]*[ \t]*([=:]|[ \t][^ \t])/)) {
		name = substr(s, 1, RSTART + RLENGTH - 1)
		sep = substr(name, length(name), 1)
		if (sep != "=" && sep != ":") { # a flag and its value, or prose
			name = substr(name, 1, length(name) - 1)
			sep = name ~ /(^|[ \t"'\[,])--?[A-Za-z0-9._-]+[ \t]+$/ ? "=" : ""
		}
		s = substr(s, length(name) + 1)
		out = out name
		if (sep != "" && find_value(out, s, sep)) {
			out = out substr(s, 1, value_at - 1) "[redacted]"
			s = substr(s, value_at + value_length)
		}
	}
	return out s
}

# find_value finds the secret that follows a name and a separator: value_at and value_length tell where in s it is.
function find_value(before, s, sep,    word, n, opening) {
	match(s, /^[ \t]*/)
	value_at = RLENGTH + 1
	word = substr(s, value_at)
	value_length = length(word)
	if (word == "" || word ~ /^(true|false|null|nil|none|\[redacted\])([] \t,;"'&}]|$)/) return 0
	if (word ~ /^["']?\/(etc|var|run|tmp|home|root|mnt|opt|tls|certs|secrets)\/[A-Za-z0-9._\/-]*["']?([ \t,;}]|$)/) return 0 # the path of a file
	if (word ~ /^\\*"/ || word ~ /^\\*'/ && !(sep == ":" && line_begins(before))) { # the quotes stay, so that JSON stays JSON
		n = quoted(word)
		match(word, /^\\*/)
		opening = RLENGTH + 1
		value_at += opening
		value_length = n - 2 * opening
		return value_length > 0
	}
	if (word ~ /^\[/ && (n = index(word, "]"))) {
		value_length = n
		return 1
	}
	if (tolower(before) ~ /(authorization|cookie)["'\\]*[ \t]*[=:]$/) return 1 # all of the line
	if (sep == ":" && line_begins(before)) return word !~ /^[{|>&]/ # all of the line, as in a YAML file
	match(word, /^[^ \t"'&]+/)
	if (RLENGTH < 1) return 0
	value_length = RLENGTH
	if (sep == ":" && value_at > 1 && tolower(before) !~ /(passwords?|passwd|passphrase|pwd|api[-_.]?key)["'\\]*[ \t]*.$/) {
		return looks_random(substr(word, 1, value_length)) # or prose, as in "read token: no such file"
	}
	return 1
}

# quoted returns the length of the quoted text at the start of s, however deep its quotes are escaped.
function quoted(s,    depth, mark, at, n, i) {
	match(s, /^\\*/)
	depth = RLENGTH
	mark = substr(s, depth + 1, 1)
	at = depth + 1
	while ((i = index(substr(s, at + 1), mark)) > 0) {
		at += i
		for (n = 0; n < at && substr(s, at - 1 - n, 1) == "\\"; n++) ;
		if (n <= depth) return at
	}
	return length(s) + depth + 1 # its end was cut off
}

function line_begins(s) {
	return s ~ /^([0-9][0-9T:.+-]*Z? )?[ \t-]*["']?[A-Za-z0-9_.\/-]*["']?[ \t]*:$/
}

function looks_random(word) {
	return length(word) >= 16 && word ~ /[0-9]/ && word ~ /[A-Za-z]/ && word ~ /^[A-Za-z0-9+\/_=.~-]+[,;)]?$/ && word !~ /^\//
}

# secret_name tells whether a field of this name holds a secret.
function secret_name(name) {
	return tolower(name) ~ /(passwords?|passwd|passphrase|pwd|secret|token|credentials?|(api|access|account|private|signing|encryption)[-_.]?key|authorization|cookie)$/
}

# secret_variable is secret_name for environment variables.
function secret_variable(name) {
	name = tolower(name)
	return name ~ /passw|passphrase|pwd|secret|token|credential|key|cookie|dsn/ && name !~ /(file|path|dir|name|namespace|audience|timeout|interval|ttl|seconds|enabled)$/
}
AWK

read -r -d '' REDACT <<'AWK'
# A private key may have a line each for its parts: lines are held back until its
# end shows that they belong to it. Without an end, what may be part of one goes.
function let_go(    i, text) {
	for (i = 1; i <= held; i++) {
		text = hold[i]
		sub(/^[0-9][0-9T:.+-]*Z? /, "", text)
		if (text ~ /^[ \t]*[A-Za-z0-9+\/=]*$/ || (match(text, /[A-Za-z0-9+\/=]+$/) && RLENGTH >= 40)) continue
		print scrub(hold[i])
	}
	held = inside = 0
}
inside {
	if (match($0, /-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----/)) {
		held = inside = 0
		if (RSTART + RLENGTH <= length($0)) print scrub(substr($0, RSTART + RLENGTH))
		next
	}
	hold[++held] = $0
	if (held >= 200) let_go()
	next
}
{
	rest = $0
	if (sub(/^.*-----BEGIN [A-Z0-9 ]*PRIVATE KEY/, "", rest) && rest !~ /-----END [A-Z0-9 ]*PRIVATE KEY/) inside = 1
	print scrub($0)
}
END { let_go() }
AWK

# redact is the filter that everything written passes.
redact() { awk "$SCRUB$REDACT"; }

# save writes a file of the archive; an empty one leaves no file.
save() { # FILE
	mkdir -p "$DEST/$(dirname "$1")"
	redact >"$DEST/$1"
	[ -s "$DEST/$1" ] || rm -f "$DEST/$1"
}

# Objects

# JSON in one line to JSON with one value a line, as kubectl prints it. A
# record ends at a quote: so pages of many megabytes take linear time.
read -r -d '' LINES <<'AWK'
BEGIN { RS = "\"" }
function put(text) { if (line != "") print line; line = text }
text_open {
	text = text $0
	match($0, /\\*$/)
	if (RLENGTH % 2) { text = text "\""; next }
	text_open = 0
	line = line "\"" text "\""
	next
}
{
	gsub(/[ \t\r\n]/, "")
	for (i = 1; i <= length($0); i++) {
		c = substr($0, i, 1)
		if (c == "{" || c == "[") { line = line c; opened = line; put("") ; continue }
		if (c == "}" || c == "]") { put(c); continue }
		if (c == ",") { put(""); continue }
		if (c == ":") { line = line ": "; continue }
		line = line c
	}
	text = ""
	text_open = 1
}
END { put("") }
AWK

# A walk over such lines. A program has the functions
#   entered(name, is_list)   a structure begins; name is its field, "" in a list
#   left()                   it ends
#   found(name, value)       a value, as JSON
# In them, depth, kinds[depth] ("{" or "[") and at[depth] (a path, as in
# .spec.containers[]) tell where they are.
read -r -d '' WALK <<'AWK'
function walk(line,    name) {
	sub(/^[ \t]+/, "", line)
	sub(/,$/, "", line)
	if (line == "") return
	if (line == "}" || line == "]") {
		left()
		depth--
		return
	}
	name = ""
	if (kinds[depth] == "{" && match(line, /^"([^"\\]|\\.)*": /)) {
		name = substr(line, 2, RLENGTH - 4)
		line = substr(line, RLENGTH + 1)
	}
	if (line == "{" || line == "[") {
		kinds[depth + 1] = line
		at[depth + 1] = depth ? below(name) : ""
		entered(name, line == "[")
		depth++
	} else found(name, line)
}

# below is the path of a field of the present structure.
function below(name) { return at[depth] (kinds[depth] == "[" ? "[]" : "." name) }

# plain returns the text of a JSON value.
function plain(value,    n, i, parts, out, c, code) {
	if (value !~ /^"/) return value
	value = substr(value, 2, length(value) - 2)
	if (!index(value, "\\")) return value
	n = split(value, parts, /\\/)
	out = parts[1]
	for (i = 2; i <= n; i++) {
		c = substr(parts[i], 1, 1)
		if (parts[i] == "") { # an escaped backslash: what follows is no escape
			i++
			out = out "\\" parts[i]
		} else if (c == "n") out = out "\n" substr(parts[i], 2)
		else if (c == "t") out = out "\t" substr(parts[i], 2)
		else if (c == "r") out = out "\r" substr(parts[i], 2)
		else if (c == "u" && (code = index("003c 003e 0026 0027 0022", substr(parts[i], 2, 4))) % 5 == 1)
			out = out substr("<>&'\"", (code + 4) / 5, 1) substr(parts[i], 6)
		else if (c == "u" || c == "b" || c == "f") out = out "\\" parts[i]
		else out = out parts[i]
	}
	return out
}

# quote is the inverse of plain.
function quote(text) {
	text = join(text, "\\\\", "\\\\")
	text = join(text, "\"", "\\\"")
	text = join(text, "\n", "\\n")
	text = join(text, "\t", "\\t")
	return "\"" join(text, "\r", "\\r") "\""
}

# join replaces without the rules of gsub for backslashes, which differ among awks.
function join(text, what, by,    n, i, parts, out) {
	n = split(text, parts, what)
	out = n ? parts[1] : ""
	for (i = 2; i <= n; i++) out = out by parts[i]
	return out
}

# safe_name makes a file's name of an object's.
function safe_name(name) {
	gsub(/[^A-Za-z0-9._:-]/, "_", name)
	return name
}
AWK

# Objects of the API server to YAML, redacted. Variables: resource; file for a
# list of them, or a pattern of files (with %NS and %NAME) for one each;
# sensitive=1 keeps payloads; known, a file for what timelines need to know.
read -r -d '' YAML <<'AWK'
BEGIN {
	ours = resource ~ /\.kubernaut\.ai$/
	each = file ~ /%NAME/
	base = 1 # the depth of an object: that of a list's items is 3
	column[1] = 0
	WORDS = "^(true|false|null|yes|no|on|off|y|n)$" # no texts in YAML, unless they are quoted
}
{ walk($0) }
END { if (base == 1 && facts[".metadata.name"] != "") finish() }

function entered(name, is_list) {
	if (depth == 0) return
	if (depth == 1 && name == "items") {
		base = 3
		return
	}
	if (depth + 1 == base) { # an item begins
		at[base] = ""
		column[base] = lines = conditions = 0
		split("", facts)
		return
	}
	if (kinds[depth] == "[") {
		lead = margin() "- "
		column[depth + 1] = column[depth] + 2
	} else {
		say(margin() field(name))
		column[depth + 1] = column[depth] + (is_list ? 0 : 2)
	}
	argument = ""
}

function left() {
	if (base == 3 && depth == base) finish()
	else if (at[depth] == ".status.conditions[]") note_condition()
}

function found(name, value,    text) {
	if (depth == 1 && name == "items") base = 3 # there are none
	if (depth < base) return
	text = allowed(name, value)
	remember(below(name), text)
	if (kinds[depth] == "[") text = margin() "- " scalar(value, text, column[depth] + 2)
	else text = margin() field(name) " " scalar(value, text, column[depth] + 2)
	say(text)
}

# allowed returns the text of a value without secrets.
function allowed(name, value,    text, where, before) {
	if (value !~ /^"./ || value == "\"\"") return plain(value)
	where = below(name)
	if (where ~ /\.annotations\.kubectl\.kubernetes\.io\/last-applied-configuration$/) return "[redacted]"
	if (ours && !sensitive && where ~ /^\.spec\.(signal\.)?(originalPayload$|providerData$|annotations\.)/) return "[redacted]"
	text = plain(value)
	if (where ~ /\.env\[\]\.name$/) variable = text
	if (where ~ /\.env\[\]\.value$/ && secret_variable(variable) && text !~ /^(true|false)$/) return "[redacted]"
	if (where ~ /\.(args|command)\[\]$/) {
		before = argument
		argument = text
		if (before ~ /^--?[^=]*$/ && secret_name(before) && text !~ /^-/) return "[redacted]"
	}
	if (secret_name(name)) return "[redacted]"
	return index(text, "\n") ? scrub_lines(text) : scrub(text)
}

function scrub_lines(text,    n, i, parts, out) {
	n = split(scrub_private_keys(text), parts, "\n")
	out = scrub(parts[1])
	for (i = 2; i <= n; i++) out = out "\n" scrub(parts[i])
	return out
}

function say(text) { wanted[++lines] = text }

# margin is the indentation of the next entry: spaces, or the dashes of the lists that it begins.
function margin(    text) {
	text = lead == "" ? sprintf("%" column[depth] "s", "") : lead
	lead = ""
	return text
}

function field(name) { return (name ~ /^[A-Za-z_][A-Za-z0-9_.\/-]*$/ && tolower(name) !~ WORDS ? name : "\"" name "\"") ":" }

# scalar writes a value: texts of many lines as a block, plain ones without quotes.
function scalar(value, text, indent,    n, i, parts, out) {
	if (value !~ /^"/) return value
	if (text ~ /^[A-Za-z\/_]([A-Za-z0-9 _.,\/@+()=;-]|:[A-Za-z0-9_.\/@-])*$/ && text !~ / $/ && tolower(text) !~ WORDS) return text
	if (!index(text, "\n") || text ~ /[\001-\010\013-\037]/) return quote(text)
	n = split(text, parts, "\n")
	out = "|" (text ~ /^[ \n]/ ? "2" : "") (text !~ /\n$/ ? "-" : text ~ /\n\n$/ ? "+" : "")
	if (text ~ /\n$/) n--
	for (i = 1; i <= n; i++) out = out "\n" (parts[i] == "" ? "" : sprintf("%" indent "s", "") parts[i])
	return out
}

function finish(    to, i, text) {
	to = file
	if (each) {
		to = join(to, "%NS", safe_name(facts[".metadata.namespace"]))
		to = join(to, "%NAME", safe_name(facts[".metadata.name"]))
	}
	open(to)
	for (i = 1; i <= lines; i++) {
		text = wanted[i]
		if (!each) text = (i == 1 ? "- " : "  ") join(text, "\n", "\n  ")
		print text > to
	}
	if (each) close(to)
	if (ours && known != "") tell()
	lines = 0
}

function open(to,    dir) {
	dir = to
	sub(/\/[^\/]*$/, "", dir)
	if (!(dir in made)) system("mkdir -p '" join(dir, "'", "'\\''") "'")
	made[dir] = 1
	if (!each && !begun++) print "apiVersion: v1\nkind: List\nitems:" > to
}

function remember(where, text) {
	if (where ~ /^\.metadata\.(name|namespace|creationTimestamp)$/ || where ~ /^\.status\.(phase|message|startedAt|completedAt)$/ || where ~ /^\.status\.conditions\[\]/ || where == ".spec.remediationRequestRef.name") facts[where] = text
}

function note_condition(    c) {
	c = ".status.conditions[]."
	condition[++conditions, "time"] = facts[c "lastTransitionTime"]
	condition[conditions, "text"] = facts[c "type"] "=" facts[c "status"] " " facts[c "reason"] ": " oneline(facts[c "message"])
	facts[c "message"] = facts[c "reason"] = ""
}

# tell writes the object's line, and one for each dated change of it.
function tell(    id, kind, i) {
	kind = resource
	sub(/s?\..*/, "", kind)
	id = facts[".spec.remediationRequestRef.name"]
	if (id == "") id = facts[".metadata.name"]
	print "object\t" id "\t" kind "\t" facts[".metadata.namespace"] "/" facts[".metadata.name"] "\t" facts[".status.phase"] "\t" facts[".metadata.creationTimestamp"] "\t" facts[".status.completedAt"] "\t" oneline(facts[".status.message"]) >> known
	print "moment\t" id "\t" facts[".metadata.creationTimestamp"] "\t" kind "\tcreated" >> known
	if (facts[".status.startedAt"] != "") print "moment\t" id "\t" facts[".status.startedAt"] "\t" kind "\tstarted" >> known
	if (facts[".status.completedAt"] != "") print "moment\t" id "\t" facts[".status.completedAt"] "\t" kind "\tcompleted as " facts[".status.phase"] ": " oneline(facts[".status.message"]) >> known
	for (i = 1; i <= conditions; i++) print "moment\t" id "\t" condition[i, "time"] "\t" kind "\t" condition[i, "text"] >> known
}

function oneline(text) { return join(text, "\n", " ") }
AWK

# to_yaml turns what kubectl prints as JSON into files of the archive.
to_yaml() { # RESOURCE FILE: one file, or with %NS and %NAME one for each object
	awk -v resource="$1" -v file="$DEST/$2" -v sensitive="$SENSITIVE" -v known="$WORK/known.$1" "$SCRUB$WALK$YAML"
}

# Running

# say prints progress and logs it.
say() {
	printf '%3ds  %s\n' "$SECONDS" "$*"
	note "$@"
}

note() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" | redact >>"$DEST/must-gather.log"; }

# step runs a function concurrently, with its own time limit.
step() { # NAME FUNCTION ARGS...
	while [ "$(running)" -ge "$JOBS" ]; do wait -n 2>/dev/null; done
	run_step "$@" </dev/null >/dev/null &
	STEPS+=($!)
}

# running counts the steps that have not ended.
running() { jobs -rp | grep -cvx "${FORWARD:-none}"; }

# steps_end waits for all of them.
steps_end() {
	local pid
	for pid in "${STEPS[@]}"; do wait "$pid" 2>/dev/null; done
	STEPS=()
}

run_step() {
	STEP=$1
	STEP_END=$((SECONDS + LIMIT))
	MINE=$WORK/step.$BASHPID # prefix of its files
	local began=$SECONDS
	shift
	"$@"
	rm -f "$MINE" "$MINE".*
	note "$STEP: $((SECONDS - began)) s"
}

# left is what the step has left of its time.
left() {
	local left=$((STEP_END - SECONDS))
	echo $((left > 0 ? left : 1)) # 0 would mean forever
}

# within runs a program within the step's time.
within() { timeout --foreground --kill-after=2 "$(left)" "$@"; }

# kube is kubectl; what it fails to get is noted.
kube() {
	local problems code
	problems=$(mktemp "$WORK/problems.XXXXXX")
	within "$KUBECTL" "${KUBE_FLAGS[@]}" "$@" 2>"$problems"
	code=$?
	[ "$code" = 0 ] || missed "$STEP" "$(why "$code" "$problems")" "kubectl $(words "$@")"
	rm -f "$problems"
	return "$code"
}

# try is kube for commands whose failure does not matter.
try() { within "$KUBECTL" "${KUBE_FLAGS[@]}" "$@" 2>/dev/null; }

# why prints why a program failed: its timeout, or the end of its error output.
why() { # CODE FILE
	case $1 in
	124 | 137) echo "timed out after $(date -u -d "@$LIMIT" +%-Mm%-Ss 2>/dev/null || echo "$LIMIT s")" ;;
	*)
		{ grep -iE '^(error|the connection|unable) ?' "$2" || grep -v '^[IWE][0-9][0-9][0-9][0-9] ' "$2"; } | tail -n 3 | tr '\n' ' ' | cut -c 1-500
		;;
	esac
}

words() {
	local word out=''
	for word in "$@"; do
		[[ $word =~ ^[][A-Za-z0-9_.,:/=@?\&-]+$ ]] || word="'$word'"
		out="$out${out:+ }$word"
	done
	printf '%s\n' "$out" | tr '\n' ' '
}

# missed names something that could not be collected.
missed() { # WHAT WHY HOW
	local entry
	entry=$(printf '%s\n    reason:  %s\n    command: %s\n' "$1" "${2:-no error message}" "$3" | redact)
	printf '%s\n' "$entry" >>"$WORK/missed" # in one write, among those of other steps
}

# Cluster

collect_versions() {
	kube version -o yaml | save cluster-scoped-resources/version.yaml
	kube api-resources -o wide --no-headers=false | save cluster-scoped-resources/api-resources.txt
}

collect_api_server_health() {
	kube get --raw '/readyz?verbose' | save cluster-scoped-resources/apiserver-readyz.txt
}

collect_nodes() {
	kube get nodes -o json | to_yaml nodes cluster-scoped-resources/core/nodes/%NAME.yaml
	kube describe nodes | save cluster-scoped-resources/core/nodes.describe.txt
}

# collect_our_resources collects our definitions, and all objects of them.
collect_our_resources() {
	local resource names
	names=$(kube get customresourcedefinitions -o name | sed -n 's|.*/\([a-z]*\.kubernaut\.ai\)$|\1|p')
	if [ -z "$names" ]; then
		missed "definitions of kubernaut.ai" "the cluster has none that can be seen: is Kubernaut installed?" "kubectl get customresourcedefinitions"
		names="remediationrequests.kubernaut.ai signalprocessings.kubernaut.ai"
	else
		# shellcheck disable=SC2086 # a word a name
		kube get customresourcedefinitions $names -o json |
			to_yaml customresourcedefinitions cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions/%NAME.yaml
	fi
	for resource in $names; do
		# The table takes little where there are too many objects to read in time.
		kube get "$resource" -A -o wide | save "$(printf 'kubernaut.ai/%s.txt' "${resource%%.*}")"
		kube get "$resource" -A -o json | to_yaml "$resource" "namespaces/%NS/kubernaut.ai/${resource%%.*}/%NAME.yaml"
	done
}

collect_cluster_objects() { # RESOURCE [FLAGS...]
	local resource=$1
	shift
	kube get "$resource" "$@" -o json | to_yaml "$resource" "cluster-scoped-resources/$(group "$resource")/${resource%%.*}/%NAME.yaml"
}

collect_our_cluster_objects() { collect_cluster_objects "$1" --selector "$OURS"; }

collect_volumes() {
	local namespace names
	for namespace in "${NAMESPACES[@]}"; do
		names=$(kube get persistentvolumeclaims -n "$namespace" -o 'jsonpath={.items[*].spec.volumeName}')
		# shellcheck disable=SC2086 # a word a name
		[ -z "${names// /}" ] || collect_cluster_objects persistentvolumes $names
	done
}

# group is the folder of a resource's API group.
group() {
	case $1 in
	*.*) echo "${1#*.}" ;;
	*) echo core ;;
	esac
}

collect_namespace() { # NAMESPACE
	kube get namespaces "$1" -o json | to_yaml namespaces "namespaces/$1/$1.yaml"
}

collect_list() { # NAMESPACE RESOURCE
	kube get "$2" -n "$1" -o json | to_yaml "$2" "namespaces/$1/$(group "$2")/${2%%.*}.yaml"
}

# collect_secret_names reads names, types and keys: values never leave kubectl.
collect_secret_names() { # NAMESPACE
	# shellcheck disable=SC2016 # $ is the template's
	kube get secrets -n "$1" -o 'go-template={{range .items}}- name: {{.metadata.name}}
  type: {{.type}}
  keys:{{range $key, $value := .data}}
  - {{$key}}{{end}}
{{end}}' | sed '1i # Values are never collected.' | save "namespaces/$1/core/secrets.yaml"
}

# collect_leases reads a table of those that stand for signals: there may be a great many.
collect_leases() { # NAMESPACE
	local signals=app.kubernetes.io/managed-by=kubernaut-gateway
	kube get leases.coordination.k8s.io -n "$1" --selector "${signals/=/!=}" -o json | to_yaml leases "namespaces/$1/coordination.k8s.io/leases.yaml"
	kube get leases.coordination.k8s.io -n "$1" --selector "$signals" \
		-o 'custom-columns=RENEWED:.spec.renewTime,REQUEST-IN:.metadata.annotations.kubernaut\.ai/request-namespace,REQUEST:.spec.holderIdentity,LEASE:.metadata.name' |
		save "namespaces/$1/coordination.k8s.io/signal-leases.txt"
}

collect_usage() { # NAMESPACE
	kube top pods -n "$1" --containers | save "namespaces/$1/usage.txt"
}

# An event's time is in one of several fields.
readonly EVENT_ROW='{{range .items}}{{if .series}}{{.series.lastObservedTime}}{{else}}{{or .lastTimestamp .eventTime .metadata.creationTimestamp}}{{end}}{{"\t"}}{{.type}}{{"\t"}}{{.reason}}{{"\t"}}{{.involvedObject.kind}}/{{.involvedObject.name}}{{"\t"}}{{or .count 1}}{{"\t"}}{{printf "%q" .message}}{{"\t"}}{{.metadata.namespace}}
{{end}}'

collect_events() { # NAMESPACE
	kube get events -n "$1" -o json | to_yaml events "namespaces/$1/core/events.yaml"
	kube get events -n "$1" -o "go-template=$EVENT_ROW" | cut -f 1-6 | sort | save "namespaces/$1/events.txt"
}

collect_events_for_timelines() {
	kube get events -A -o "go-template=$EVENT_ROW" >"$WORK/events"
}

# Pods

# shellcheck disable=SC2016 # $ is the template's
# A line for each container, for each restart count and for the management port of each pod of ours.
readonly POD_ROWS='{{range .items}}{{$pod := printf "%s\t%s" .metadata.namespace .metadata.name}}{{$part := ""}}{{with .metadata.labels}}{{$part = printf "%v" (index . "app.kubernetes.io/part-of")}}{{end}}{{range .spec.initContainers}}{{$pod}}{{"\t"}}container{{"\t"}}{{.name}}{{"\t"}}0
{{end}}{{range .spec.containers}}{{$pod}}{{"\t"}}container{{"\t"}}{{.name}}{{"\t"}}0
{{if eq $part "kubernaut"}}{{range .ports}}{{if eq (printf "%v" .name) "'$MANAGEMENT_PORT'"}}{{$pod}}{{"\t"}}port{{"\t"}}-{{"\t"}}{{.containerPort}}
{{end}}{{end}}{{end}}{{end}}{{range .status.initContainerStatuses}}{{$pod}}{{"\t"}}restarts{{"\t"}}{{.name}}{{"\t"}}{{.restartCount}}
{{end}}{{range .status.containerStatuses}}{{$pod}}{{"\t"}}restarts{{"\t"}}{{.name}}{{"\t"}}{{.restartCount}}
{{end}}{{end}}'

# find_namespaces adds the namespaces of our pods to the usual one.
find_namespaces() {
	{
		echo "$HOME_NAMESPACE"
		kube get pods -A --selector "$OURS" -o 'jsonpath={range .items[*]}{.metadata.namespace}{"\n"}{end}'
	} | sort -u >"$WORK/namespaces"
}

# find_pods writes lines of namespace, pod, "container" or "port", container, and restarts or port.
find_pods() { # NAMESPACE
	kube get pods -n "$1" -o "go-template=$POD_ROWS" >"$WORK/rows.$1"
	awk -F'\t' -v OFS='\t' '$3 == "restarts" { count[$1, $2, $4] = $5; next }
		{ row[++n] = $0; key[n] = $1 SUBSEP $2 SUBSEP $4; kind[n] = $3 }
		END { for (i = 1; i <= n; i++) { $0 = row[i]; if (kind[i] == "container") $5 = count[key[i]] + 0; print } }' "$WORK/rows.$1" >"$WORK/pods.$1"
}

collect_pods() { # NAMESPACE
	kube get pods -n "$1" -o wide | save "namespaces/$1/pods.txt"
	kube get pods -n "$1" -o json | to_yaml pods "namespaces/$1/pods/%NAME/%NAME.yaml"
}

collect_log() { # NAMESPACE POD CONTAINER current|previous
	local file=namespaces/$1/pods/$2/$3/$3/logs/$4.log
	local flags=(logs "$2" -n "$1" -c "$3" --timestamps "--limit-bytes=$LOG_BYTES")
	if [ "$4" = previous ]; then
		kube "${flags[@]}" --previous "--tail=$LOG_LINES" | save "$file"
		return
	fi
	kube "${flags[@]}" "--since=${SINCE}s" "--tail=$LOG_LINES" >"$MINE" &&
		# The last lines of a silent container are older.
		[ ! -s "$MINE" ] && kube "${flags[@]}" --tail=200 >"$MINE"
	save "$file" <"$MINE"
}

# collect_state asks a pod's management port, through the API server.
collect_state() { # NAMESPACE POD PORT
	local folder=namespaces/$1/pods/$2/management base=/api/v1/namespaces/$1/pods/$2:$3/proxy what
	for what in readyz healthz; do
		ask "$base/$what" | save "$folder/$what.json" &
	done
	kube get --raw "$base/metrics" | save "$folder/metrics.txt"
	wait
	if [ -s "$DEST/$folder/metrics.txt" ]; then
		state audit_ "$DEST/$folder/metrics.txt" | save "namespaces/$1/pods/$2/audit-state.txt"
		state datastorage_ "$DEST/$folder/metrics.txt" | save "namespaces/$1/pods/$2/datastorage-state.txt"
	fi
}

# ask prints the response of a probe, also of one that fails: kubectl prints that with -v only.
ask() { # PATH
	local problems code
	problems=$(mktemp "$WORK/problems.XXXXXX")
	within "$KUBECTL" "${KUBE_FLAGS[@]}" get --raw "$1" -v=8 2>"$problems"
	code=$?
	if [ "$code" != 0 ]; then
		sed -n 's/.*Response Body: *//p; s/.*"Response Body" body="\(.*\)"$/\1/p; /"Response Body" body=</{n;s/^[ \t]*//p;}' "$problems" |
			sed 's/\\"/"/g; s/\\n//g' | awk '!seen[$0]++' | grep -v '"kind":"Status"'
		missed "$STEP" "$(why "$code" "$problems")" "kubectl $(words get --raw "$1")"
	fi
	rm -f "$problems"
}

# state prints the metrics of a prefix with what they mean; a histogram's mean in the place of its buckets.
state() { # PREFIX METRICS-FILE
	awk -v prefix="$1" '
		index($0, "# HELP " prefix) == 1 { name = $3; sub(/^# HELP [^ ]+ /, ""); help[name] = $0; next }
		index($0, prefix) != 1 || /_bucket\{/ || /_created[{ ]/ { next }
		{
			value = $NF; series = substr($0, 1, length($0) - length(value) - 1)
			name = series; sub(/\{.*/, "", name)
			if (name ~ /_sum$/) { sum = value; next }
			if (name ~ /_count$/ && !(name in help)) {
				sub(/_count/, "", series); sub(/_count$/, "", name)
				printf "%14s  %s, of %d  (%s)\n", (value > 0 ? sprintf("%.6g", sum / value) : "-"), series, value, "mean. " help[name]
				next
			}
			printf "%14s  %s  (%s)\n", (value == int(value) ? sprintf("%.0f", value) : value), series, help[name]
		}' "$2"
}

# The columns of the table of audit stores: names of metrics after audit_.
readonly AUDIT_COLUMNS="pending_events pending_bytes oldest_pending_age_seconds spilled_events spool_bytes unacknowledged_events rejected_total lost_total retries_total accepted_total stored_total sink_up"

# summarize_audit_stores makes one table of the audit stores of all our pods.
summarize_audit_stores() {
	local namespace pod file
	{
		echo "Audit stores of the pods; audit-state.txt of each pod explains the columns."
		echo
		{
			echo "namespace pod $AUDIT_COLUMNS"
			while IFS=$'\t' read -r namespace pod _; do
				file=$DEST/namespaces/$namespace/pods/$pod/management/metrics.txt
				if [ ! -s "$file" ]; then
					echo "$namespace $pod no-answer"
				elif ! grep -q '^audit_' "$file"; then
					echo "$namespace $pod no-audit-store"
				else
					awk -v row="$namespace $pod" -v columns="$AUDIT_COLUMNS" '
						/^audit_/ { name = $1; sub(/\{.*/, "", name); value[name] += $NF; known[name] = 1 }
						END {
							n = split(columns, column, " ")
							for (i = 1; i <= n; i++) {
								name = "audit_" column[i]
								row = row " " (name in known ? sprintf(name ~ /seconds$/ ? "%.1f" : "%.0f", value[name]) : "-")
							}
							print row
						}' "$file"
				fi
			done < <(awk -F'\t' '$3 == "port" && !seen[$1, $2]++' "$WORK/pods")
		} | columns
	} | save audit-state.txt
}

# columns aligns space-separated fields.
columns() {
	awk '{ for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } n[NR] = NF }
		END { for (r = 1; r <= NR; r++) { text = ""; for (i = 1; i <= n[r]; i++) text = text sprintf("%-" (width[i] + 2) "s", cell[r, i]); sub(/ +$/, "", text); print text } }'
}

# DataStorage

# begin_forward forwards a port to the Service: the API server's proxy would remove the token from requests.
begin_forward() {
	[ -z "${MUST_GATHER_DATASTORAGE_URL:-}" ] || return 0
	DS_NAMESPACE=$(cat "$WORK/datastorage.namespace" 2>/dev/null)
	[ -n "$DS_NAMESPACE" ] || return 0
	timeout --foreground --kill-after=2 600 "$KUBECTL" "${KUBE_FLAGS[@]}" port-forward -n "$DS_NAMESPACE" --address 127.0.0.1 \
		--pod-running-timeout "${LIMIT}s" service/datastorage :api >"$WORK/forward" 2>&1 </dev/null &
	FORWARD=$!
}

end_forward() {
	[ -n "$FORWARD" ] || return 0
	kill -TERM "$FORWARD" 2>/dev/null
	wait "$FORWARD" 2>/dev/null
	FORWARD=''
}

# find_datastorage finds the Service, and requests a token for it.
find_datastorage() {
	local namespace
	for namespace in "${NAMESPACES[@]}"; do
		try get service datastorage -n "$namespace" -o name >/dev/null || continue
		within "$KUBECTL" "${KUBE_FLAGS[@]}" create token must-gather -n "$namespace" --audience=kubernaut-datastorage --duration=10m >"$WORK/token" 2>"$WORK/token.problem" ||
			note "no token for DataStorage: $(why 1 "$WORK/token.problem")"
		echo "$namespace" >"$WORK/datastorage.namespace"
		return
	done
	missed "audit events" "there is no Service \"datastorage\" in ${NAMESPACES[*]}; --namespace or MUST_GATHER_DATASTORAGE_URL may name another place" "kubectl get service datastorage"
}

# reach_datastorage finds out where DataStorage answers, and writes its address to $WORK/datastorage if it does.
reach_datastorage() {
	local url=${MUST_GATHER_DATASTORAGE_URL:-} problem
	if [ -z "$url" ]; then
		[ -n "$FORWARD" ] || return 0 # find_datastorage has said why
		until grep -q '^Forwarding from 127' "$WORK/forward"; do
			if [ "$SECONDS" -ge "$STEP_END" ] || ! kill -0 "$FORWARD" 2>/dev/null; then
				problem=$(why 1 "$WORK/forward")
				missed "audit events" "${problem:-no pod of the Service could be reached in time}" "kubectl port-forward -n $DS_NAMESPACE service/datastorage :api"
				return
			fi
			sleep 0.1
		done
		url=$(sed -n 's/^Forwarding from \(127\.0\.0\.1:[0-9]*\).*/\1/p;T;q' "$WORK/forward")
		# The token must not travel in the clear where TLS is spoken: ask without it. (Without any, kubectl asks for a name.)
		problem=$(within "$KUBECTL" --kubeconfig /dev/null --cache-dir "$WORK/cache" --server "https://$url" --insecure-skip-tls-verify \
			--token none get --raw / 2>&1 >/dev/null </dev/null)
		case $problem in
		*"gave HTTP response to HTTPS client"*) url=http://$url ;;
		*) url=https://$url ;;
		esac
	elif [ -n "${MUST_GATHER_DATASTORAGE_TOKEN_FILE:-}" ]; then
		cat "$MUST_GATHER_DATASTORAGE_TOKEN_FILE" >"$WORK/token" || missed "token for DataStorage" "cannot be read" "cat $MUST_GATHER_DATASTORAGE_TOKEN_FILE"
	fi
	datastorage_kubeconfig "$url"
	echo "$url" >"$WORK/datastorage"
	if ! ask_datastorage '/api/v1/audit/events?limit=1' >/dev/null 2>"$WORK/datastorage.problem"; then
		problem=$(cat "$WORK/datastorage.problem")
		[ -s "$WORK/token" ] || problem="$problem (asked without a token: $(why 1 "$WORK/token.problem" 2>/dev/null))"
		missed "audit events" "DataStorage: $problem" "GET $url/api/v1/audit/events"
		rm -f "$WORK/datastorage"
	fi
}

# datastorage_kubeconfig lets kubectl speak TLS with DataStorage; the token stays in its file.
datastorage_kubeconfig() { # URL
	local trust=''
	[ -n "${MUST_GATHER_DATASTORAGE_URL:-}" ] || trust="insecure-skip-tls-verify: true" # forwarded: the certificate has another name
	[ -z "${MUST_GATHER_DATASTORAGE_CA_FILE:-}" ] || trust="certificate-authority: '$MUST_GATHER_DATASTORAGE_CA_FILE'"
	cat >"$WORK/datastorage.kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
current-context: datastorage
contexts: [{name: datastorage, context: {cluster: datastorage, user: datastorage}}]
users: [{name: datastorage, user: {tokenFile: '$WORK/token'}}]
clusters:
- name: datastorage
  cluster:
    server: '$1'
    $trust
CONFIG
}

# ask_datastorage prints the body of an answer, or says on stderr why there is none.
ask_datastorage() { # PATH
	local url
	url=$(cat "$WORK/datastorage")
	case $url in
	http://*) http_get "$url" "$1" "$WORK/token" ;;
	*) within "$KUBECTL" --kubeconfig "$WORK/datastorage.kubeconfig" --cache-dir "$WORK/cache" get --raw "$1" ;;
	esac
}

# http_get is for plain HTTP, where kubectl sends no token. HTTP/1.0, so that the body is as it is.
http_get() { # URL PATH TOKEN-FILE
	local host=${1#http://} prefix='' port=80 answer code
	answer=$(mktemp "$WORK/answer.XXXXXX")
	case $host in */*) prefix=/${host#*/} host=${host%%/*} ;; esac
	case $host in *:*[0-9]) port=${host##*:} host=${host%:*} ;; esac
	host=${host#[} host=${host%]}
	# shellcheck disable=SC2016 # expands in the other shell; the token is in no program's arguments
	within bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit 7
		token=$(cat "$4" 2>/dev/null)
		printf "GET %s HTTP/1.0\r\nHost: %s:%s\r\nAccept: application/json\r\n%s\r\n" "$3" "$1" "$2" "${token:+Authorization: Bearer $token
}" >&3
		cat <&3' _ "$host" "$port" "${prefix%/}$2" "$3" >"$answer" 2>"$answer.problem"
	code=$?
	if [ "$code" != 0 ]; then
		why "$code" "$answer.problem" | sed 's/^bash: [^:]*: //' >&2
	elif sed -n '1s/^HTTP[^ ]* \(2..\) .*/\1/p;q' "$answer" | grep -q .; then
		sed '1,/^\r*$/d' "$answer"
	else
		code=1
		{ head -n 1 "$answer" && sed '1,/^\r*$/d' "$answer"; } | tr -d '\r' | tr '\n' ' ' | cut -c 1-500 >&2
	fi
	rm -f "$answer" "$answer.problem"
	return "$code"
}

# summarize_datastorage puts the state of its pods into one file.
summarize_datastorage() {
	local namespace pod folder
	while IFS=$'\t' read -r namespace pod _; do
		folder=$DEST/namespaces/$namespace/pods/$pod
		[ -s "$folder/datastorage-state.txt" ] || continue
		echo "=== $pod in $namespace: $(cat "$folder/management/readyz.json" 2>/dev/null || echo "no response from /readyz")"
		cat "$folder/datastorage-state.txt"
		echo "partitions, from its log:"
		grep -rhi partition "$folder" --include='*.log' | tail -n 20 || echo "  no messages about partitions"
		echo
	done < <(awk -F'\t' '$3 == "port" && !seen[$1, $2]++' "$WORK/pods") | save datastorage-state.txt
}

# Timelines

# sortable makes times of one form, UTC with nanoseconds, so that they sort as texts.
read -r -d '' TIME <<'AWK'
function sortable(t,    fraction, sign, offset, minutes, days) {
	if (t !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]/) return ""
	fraction = substr(t, 20)
	offset = 0
	if (match(fraction, /[+-][0-9][0-9]:?[0-9][0-9]$/)) {
		offset = substr(fraction, RSTART + 1, 2) * 60 + substr(fraction, RSTART + RLENGTH - 2)
		if (substr(fraction, RSTART, 1) == "-") offset = -offset
		fraction = substr(fraction, 1, RSTART - 1)
	}
	gsub(/[^0-9]/, "", fraction)
	fraction = substr(fraction "000000000", 1, 9)
	if (offset == 0) return substr(t, 1, 10) "T" substr(t, 12, 8) "." fraction "Z"
	minutes = substr(t, 12, 2) * 60 + substr(t, 15, 2) - offset
	days = 0
	while (minutes < 0) { minutes += 1440; days-- }
	while (minutes >= 1440) { minutes -= 1440; days++ }
	return day(substr(t, 1, 4) + 0, substr(t, 6, 2) + 0, substr(t, 9, 2) + days) sprintf("T%02d:%02d:%s.%sZ", minutes / 60, minutes % 60, substr(t, 18, 2), fraction)
}

# day is the date of a day that may lie one outside its month.
function day(y, m, d,    last) {
	if (d < 1) {
		if (--m < 1) { m = 12; y-- }
		return sprintf("%04d-%02d-%02d", y, m, month_days(y, m))
	}
	if (d > month_days(y, m)) {
		d = 1
		if (++m > 12) { m = 1; y++ }
	}
	return sprintf("%04d-%02d-%02d", y, m, d)
}
function month_days(y, m) { return m == 2 ? (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 29 : 28) : (m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31) }

# row prints a line of a timeline.
function row(given, source, text,    key, time) {
	key = sortable(given)
	if (key == "") return
	gsub(/[\t\r]/, " ", text)
	if (length(text) > 4000) text = substr(text, 1, 4000) " (cut)"
	# A time without a fraction may be anywhere in its second: late is closer
	# to the truth than early, but for a beginning.
	time = substr(key, 1, 26) "Z"
	if (length(given) < 22 && given !~ /\./) {
		time = substr(key, 1, 19) "Z"
		if (text != "created") key = substr(key, 1, 20) "999999999Z"
	}
	print key "\t" time "\t" source "\t" text
}

# mentions tells whether a text has an id, and not one that begins or ends with it.
function mentions(text, id,    at, before, after) {
	while ((at = index(text, id)) > 0) {
		before = at > 1 ? substr(text, at - 1, 1) : ""
		after = substr(text, at + length(id), 2)
		if (before !~ /[A-Za-z0-9_-]/ && after !~ /^[A-Za-z0-9_-]/ && after !~ /^\.[A-Za-z0-9]/) return 1
		text = substr(text, at + 1)
	}
	return 0
}
AWK

# Events of DataStorage to lines of a timeline. Variables: sensitive=1 keeps
# sensitive data; next_file gets the cursor of the next page.
read -r -d '' EVENTS <<'AWK'
{ walk($0) }
END { if (more == "true") print cursor > next_file }
function entered(name, is_list) {
	if (at[depth + 1] == ".data[]") {
		split("", event)
		details = ""
	}
}
function left() { if (at[depth] == ".data[]") tell() }
function found(name, value,    where, text) {
	where = below(name)
	if (where == ".pagination.has_more") more = value
	if (where == ".pagination.next_cursor") cursor = plain(value)
	if (where !~ /^\.data\[\]\./) return
	text = plain(value)
	sub(/^\.data\[\]\./, "", where)
	if (where !~ /^event_data/) {
		event[where] = text
		return
	}
	sub(/^event_data\.?/, "", where)
	if (secret_name(name) || !sensitive && where ~ /(^|\.)(originalPayload|providerData|annotations)(\.|$)/) text = "[redacted]"
	text = scrub(text)
	details = details " " where "=" (text ~ /[ \n\t"]/ || text == "" ? quote(text) : text)
}
function tell(    text) {
	if (event["is_sensitive"] == "true" && !sensitive) {
		details = " event_data=[redacted]"
		if ("error_message" in event) event["error_message"] = "[redacted]"
	}
	text = event["event_type"] " " event["event_outcome"]
	if ("error_code" in event || "error_message" in event) text = text " error=" quote(event["error_code"] ": " event["error_message"])
	if ("resource_id" in event) text = text " resource=" event["resource_type"] "/" event["resource_id"]
	if ("duration_ms" in event) text = text " duration_ms=" event["duration_ms"]
	row(event["event_timestamp"], "audit " event["actor_id"], scrub(text) details " (event " event["event_id"] ", received " event["received_at"] ")")
}
AWK

# choose_ids writes the correlation ids that get a timeline: those that were named, the newest that need a person, and the first
# that are stuck: when something is broken, requests rather wait than fail.
choose_ids() {
	local since before
	since=$(ago "$SINCE")
	before=$(ago "$STUCK_AFTER")
	cat "$WORK"/known.remediationrequests* "$WORK"/known.signalprocessings* 2>/dev/null | awk -F'\t' '$1 == "object"' >"$WORK/requests"
	{
		[ "${#IDS[@]}" -eq 0 ] || printf '%s\n' "${IDS[@]}"
		awk -F'\t' -v since="$since" '$5 ~ /^ManualReview$/ { when = $7 == "" ? $6 : $7; if (when >= since) print when "\t" $2 }' "$WORK/requests" |
			sort -r | cut -f 2 | awk -v most="$RECENT_FAILURES" '!seen[$0]++ && ++n <= most'
		awk -F'\t' -v since="$since" -v before="$before" '$3 == "remediationrequest" && $5 ~ /^(Pending|Processing)?$/ && $6 >= since && $6 < before { print $6 "\t" $2 }' "$WORK/requests" |
			sort | cut -f 2 | head -n "$STUCK"
	} | awk '!seen[$0]++' >"$WORK/ids"
}

# ago prints the time a number of seconds ago.
ago() {
	local then=$(($(date +%s) - $1))
	date -u -d "@$then" +%Y-%m-%dT%H:%M:%S 2>/dev/null || date -u -r "$then" +%Y-%m-%dT%H:%M:%S
}

make_timeline() { # ID
	local name rows=$MINE trail
	name=$(printf '%s' "$1" | tr -c 'A-Za-z0-9._-' _ | cut -c 1-200)
	audit_rows "$1" >"$rows.audit"
	trail="$(wc -l <"$rows.audit") audit events"
	[ -s "$WORK/datastorage" ] || trail="its audit events could not be read, see not-collected.txt"
	{
		cat "$rows.audit"
		log_rows "$1"
		awk -F'\t' -v id="$1" "$TIME"'{ name = $4; sub(/.*\//, "", name) }
			name == id || mentions($6, id) { row($1, "event", $2 " " $3 " " $7 "/" $4 " (" $5 "x): " $6) }' "$WORK/events"
		cat "$WORK"/known.* 2>/dev/null | awk -F'\t' -v id="$1" "$TIME"'$1 == "moment" && $2 == id { row($3, $4, $5) }'
	} >"$rows"
	{
		echo "Correlation id $1; $trail. Times are UTC. Timestamps with second precision are sorted to the end of their second."
		cat "$WORK"/known.* 2>/dev/null | awk -F'\t' -v id="$1" '$1 == "object" && $2 == id { print $3 " " $4 ": " ($5 == "" ? "no phase" : $5) ($8 == "" ? "" : ": " $8) }'
		echo
		if [ -s "$rows" ]; then
			sort -s -t $'\t' -k 1,1 "$rows" | awk -F'\t' '{ printf "%-27s  %-28s  %s\n", $2, $3, $4 }'
		else
			echo "No collected data mentions it."
		fi
	} | save "timelines/$name.txt"
}

audit_rows() { # ID
	local path page cursor next=''
	[ -s "$WORK/datastorage" ] || return 0
	path="/api/v1/audit/events?order=asc&limit=$PAGE&correlation_id=$(url_encode "$1")"
	cursor=$MINE.cursor
	for ((page = 1; page <= PAGES; page++)); do
		rm -f "$cursor"
		ask_datastorage "$path$([ "$page" = 1 ] || echo "&cursor=$(url_encode "$next")")" >"$MINE.page" 2>"$MINE.problem" || {
			missed "audit events of $1" "$(why 1 "$MINE.problem")" "GET $path"
			break
		}
		awk "$LINES" "$MINE.page" | awk -v sensitive="$SENSITIVE" -v next_file="$cursor" "$SCRUB$WALK$TIME$EVENTS"
		[ -s "$cursor" ] || break
		next=$(cat "$cursor")
		[ "$page" -lt "$PAGES" ] || missed "audit events of $1" "there are more than $((PAGE * PAGES)); the first ones are in its timeline" "GET $path"
	done
}

# log_rows finds the lines of logs that mention an id. Lines without a time cannot be put in order.
log_rows() { # ID
	local file source
	while IFS= read -r file; do
		source=${file#"$DEST"/}
		source=$(sed 's|^namespaces/[^/]*/pods/\([^/]*\)/\([^/]*\)/.*/current\.log$|\1/\2|; s|^namespaces/[^/]*/pods/\([^/]*\)/\([^/]*\)/.*/previous\.log$|\1/\2 (earlier)|' <<<"$source")
		grep -F -e "$1" "$file" | awk -v id="$1" -v source="log $source" "$TIME"'mentions($0, id) { time = $1; text = $0; sub(/^[^ \t]+[ \t]+/, "", text); row(time, source, text) }'
	done < <(grep -rlF --include='*.log' -e "$1" "$DEST/namespaces" "$DEST/extra" 2>/dev/null)
}

url_encode() { # TEXT
	local text=$1 out='' i c
	for ((i = 0; i < ${#text}; i++)); do
		c=${text:i:1}
		case $c in
		[A-Za-z0-9._~-]) out=$out$c ;;
		*) out=$out$(printf '%%%02X' "$(($(printf %d "'$c") & 255))") ;;
		esac
	done
	printf '%s' "$out"
}

# collect_extra includes the logs of processes outside the cluster.
collect_extra() {
	local file
	while IFS= read -r file; do
		tail -c "$LOG_BYTES" "$EXTRA_LOGS/$file" | save "extra/$file"
	done < <(cd "$EXTRA_LOGS" && find . -type f '(' -name '*.log' -o -name '*.txt' ')' | sed 's|^\./||')
}

# Overview

# summarize prints an overview of what is wrong, and where to continue.
summarize() {
	local namespace
	cat <<TEXT
Kubernaut in ${NAMESPACES[*]}, $STARTED; logs and failures of the last $((SINCE / 60)) minutes.

What to read:
  audit-state.txt, datastorage-state.txt   pending events of the audit stores; the store of events
  timelines/                               requested, failed and stuck requests: audit events, logs, Kubernetes events
  namespaces/NS/events.txt, pods.txt       and a directory for each pod with logs, probes and metrics
  kubernaut.ai/                            all requests as tables
  not-collected.txt                        what could not be collected, and why
TEXT
	echo
	echo "Requests by phase:"
	cat "$WORK"/known.* 2>/dev/null | awk -F'\t' '$1 == "object" { n[$3 " " ($5 == "" ? "(none)" : $5)]++ } END { for (k in n) printf "%8d  %s\n", n[k], k }' | sort -k 2
	for namespace in "${NAMESPACES[@]}"; do
		echo
		echo "Pods in $namespace:"
		sed 's/^/  /' "$DEST/namespaces/$namespace/pods.txt" 2>/dev/null || echo "  none readable"
		echo
		echo "Failing probes in $namespace:"
		grep -rLE '"status":"(ok|ready)"' "$DEST/namespaces/$namespace/pods" --include='*z.json' 2>/dev/null | while IFS= read -r file; do
			echo "  ${file#"$DEST"/}: $(head -c 500 "$file")"
		done
		awk -F'\t' -v ns="$namespace" '$1 == ns && $3 == "port" { print $2 }' "$WORK/pods" | while IFS= read -r pod; do
			[ -e "$DEST/namespaces/$namespace/pods/$pod/management/readyz.json" ] || echo "  $pod: no response"
		done
		echo
		echo "Newest warnings in $namespace:"
		awk -F'\t' '$2 == "Warning"' "$DEST/namespaces/$namespace/events.txt" 2>/dev/null | tail -n 20 | sed 's/^/  /'
	done
	echo
	cat "$DEST/audit-state.txt" 2>/dev/null
	echo
	echo "Not collected: $(count_missed)"
}

count_missed() { grep -c '^    reason: ' "$WORK/missed" 2>/dev/null || true; }

# Main

# prepare makes the folders, or ends the script.
prepare() {
	local program file
	[ "${BASH_VERSINFO[0]}${BASH_VERSINFO[1]}" -ge 44 ] || fail "this is bash $BASH_VERSION; 4.4 or later is needed"
	for program in awk sed tar gzip timeout sort grep find "$KUBECTL"; do
		command -v "$program" >/dev/null || fail "$program is missing: install it$([ "$program" != "$KUBECTL" ] || echo ", or set KUBECTL")"
	done
	[ -z "${EXTRA_LOGS:-}" ] || [ -d "$EXTRA_LOGS" ] || unusable "EXTRA_LOGS $EXTRA_LOGS: no folder"
	case ${MUST_GATHER_DATASTORAGE_URL:-http://} in http://* | https://*) ;; *) unusable "MUST_GATHER_DATASTORAGE_URL $MUST_GATHER_DATASTORAGE_URL: must begin with http:// or https://" ;; esac
	make_folder
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/must-gather.XXXXXX") || fail "cannot create a temporary directory"
	KUBE_FLAGS+=(--cache-dir "$WORK/cache")
	for file in missed events pods ids token; do : >"$WORK/$file" || fail "cannot write to $WORK"; done
	STARTED=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	printf '%s\n%s\n' "$TOOL" "$VERSION" >"$DEST/version" || fail "cannot write to $DEST"
	echo "start $STARTED" >"$DEST/timestamp"
}

# make_folder makes a new directory for the archive's files.
make_folder() {
	local name again=''
	{ mkdir -p "$DEST" && DEST=$(cd "$DEST" && pwd); } || fail "cannot create $DEST: choose another directory with --dest"
	name=$DEST/must-gather-$(date -u +%Y%m%d-%H%M%S)
	while [ -e "$name$again.tar.gz" ] || ! mkdir "$name$again"; do
		[ -e "$name$again" ] || fail "cannot write to $DEST: choose another directory with --dest"
		again=$((again - 1))
	done
	DEST=$name$again
}

fail() {
	printf '%s: %s\n' "$NAME" "$1" >&2
	exit 1
}

# reachable checks that the API server responds, so that the steps need not all time out.
reachable() {
	local problems=$WORK/problems.reach code
	within "$KUBECTL" "${KUBE_FLAGS[@]}" get --raw /version >/dev/null 2>"$problems"
	code=$?
	[ "$code" != 0 ] || return 0
	! grep -qiE 'forbidden|unauthorized' "$problems" && [ "$code" != 127 ] || return 0
	missed "the cluster" "$(why "$code" "$problems")" "kubectl get --raw /version"
	return 1
}

collect() {
	local namespace pod
	if run_step_here "API server" reachable; then
		[ "${#NAMESPACES[@]}" -gt 0 ] || {
			step "namespaces" find_namespaces
			steps_end
			while IFS= read -r namespace; do NAMESPACES+=("$namespace"); done <"$WORK/namespaces"
		}
		say "namespaces: ${NAMESPACES[*]}"
		[ -n "${MUST_GATHER_DATASTORAGE_URL:-}" ] || step "DataStorage's Service" find_datastorage
		for namespace in "${NAMESPACES[@]}"; do step "list of pods in $namespace" find_pods "$namespace"; done
		cluster_steps
		steps_end
		for namespace in "${NAMESPACES[@]}"; do cat "$WORK/pods.$namespace"; done >"$WORK/pods" 2>/dev/null
		begin_forward
		say "$(awk -F'\t' '!seen[$1, $2]++' "$WORK/pods" | grep -c .) pods: logs, probes and metrics; events and objects"
		while IFS=$'\t' read -r namespace pod; do pod_steps "$namespace" "$pod"; done < <(cut -f 1,2 "$WORK/pods" | sort -u)
		for namespace in "${NAMESPACES[@]}"; do namespace_steps "$namespace"; done
	else
		say "the cluster does not respond"
	fi
	step "connection to DataStorage" reach_datastorage
	[ -z "${EXTRA_LOGS:-}" ] || step "logs of other processes" collect_extra
	steps_end
	choose_ids
	say "timelines: $(grep -c . "$WORK/ids")"
	summary_steps
	steps_end
}

# run_step_here runs a step in this shell, for its result.
run_step_here() {
	STEP=$1
	STEP_END=$((SECONDS + LIMIT))
	shift
	"$@"
}

# finish writes the summary and the archive.
finish() {
	end_forward
	summarize | save summary.txt
	if [ -s "$WORK/missed" ]; then save not-collected.txt <"$WORK/missed"; else echo "Everything was collected." | save not-collected.txt; fi
	say "not collected: $(count_missed) (see not-collected.txt)"
	echo "end $(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$DEST/timestamp"
	tar -C "$(dirname "$DEST")" -czf "$DEST.tar.gz" "$(basename "$DEST")" || fail "cannot write $DEST.tar.gz; what was collected is in $DEST"
	printf '%s\n' "$DEST.tar.gz"
}

# end_collector ends it and all that it started, which is in one process group.
end_collector() {
	local attempt=0
	[ -n "$COLLECTOR" ] || return 0
	kill -TERM -- "-$COLLECTOR" 2>/dev/null
	wait "$COLLECTOR" 2>/dev/null # a shell ends at once, and timeout ends what it runs within 2 s
	while kill -0 -- "-$COLLECTOR" 2>/dev/null && [ $((attempt += 1)) -le 25 ]; do sleep 0.1; done
	kill -KILL -- "-$COLLECTOR" 2>/dev/null
	COLLECTOR=''
}

# interrupt only ends the collector: main, which waits for it, keeps what there is.
interrupt() { # SIGNAL
	SIGNAL=$1
	kill -TERM -- "-$COLLECTOR" 2>/dev/null
}

clean_up() {
	[ "$BASHPID" = "$MAIN" ] || return 0 # a job that was just forked has this trap yet
	end_collector
	[ -z "$WORK" ] || rm -rf "$WORK"
}

# collector collects in its own shell. The shell that has the traps does nothing but wait: where a signal finds bash
# at a command substitution, it may run no trap, or one without its own substitutions; and a job that was just forked
# forgets a signal while it lays down the traps of its shell.
collector() {
	collect
	finish
}

main() {
	local code
	NAME=${MUST_GATHER_NAME:-must-gather.sh}
	KUBECTL=${KUBECTL:-kubectl}
	NAMESPACES=() IDS=() KUBE_FLAGS=() STEPS=()
	SINCE=3600 LIMIT=20 SENSITIVE=0 DEST=.
	FORWARD='' DS_NAMESPACE='' STEP=preparation STEP_END=0
	MAIN=$BASHPID COLLECTOR='' SIGNAL='' WORK=''
	parse_flags "$@"
	trap clean_up EXIT
	prepare
	say "collecting into $DEST"
	trap '' TTOU # "stty tostop" would stop what writes from another process group than the terminal's
	set -m # a process group for it
	collector &
	COLLECTOR=$!
	set +m
	trap 'interrupt INT' INT
	trap 'interrupt TERM' TERM
	trap 'interrupt HUP' HUP
	wait "$COLLECTOR" 2>/dev/null
	code=$?
	trap '' INT TERM HUP
	[ -n "$SIGNAL" ] || exit "$code"
	end_collector
	say "interrupted"
	missed "all that was under way or to come" "interrupted by SIG$SIGNAL after $SECONDS s" "$NAME"
	[ ! -s "$WORK/namespaces" ] || mapfile -t NAMESPACES <"$WORK/namespaces"
	finish
}

# When this file is sourced it only defines.
if [ "${BASH_SOURCE[0]:-$0}" = "$0" ]; then
	main "$@"
fi
