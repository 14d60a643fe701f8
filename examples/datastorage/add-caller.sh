#!/bin/sh
# usage: add-caller.sh NAME TOKEN_FILE RIGHTS... >> /etc/kubernaut/tokens
# as in:  add-caller.sh shop shop.token rights=write types=shop
# Writes a new token to TOKEN_FILE, for the caller, and prints its line for DataStorage.
set -eu
umask 077
name=$1 file=$2
shift 2
token=$(head -c 32 /dev/urandom | base64 | tr -d '\n')
printf %s "$token" >"$file"
echo "$name $(printf %s "$token" | sha256sum | cut -d ' ' -f 1) ${*:?what may the caller do?}"
