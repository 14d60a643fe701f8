#!/bin/sh
# usage: add-caller.sh NAME TOKEN_FILE >> /etc/kubernaut/tokens
# Writes a new token to TOKEN_FILE, for the caller, and prints its line for DataStorage.
set -eu
umask 077
token=$(head -c 32 /dev/urandom | base64 | tr -d '\n')
printf %s "$token" >"$2"
echo "$1 $(printf %s "$token" | sha256sum | cut -d ' ' -f 1)"
