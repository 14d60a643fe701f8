// Package redact removes secrets from what must-gather collects.
//
// [Redactor.Text] is for text whose meaning is unknown (logs, messages, files in
// ConfigMaps): it removes everything that looks like a secret, by the rules of
// gitleaks and by rules of our own for what gitleaks leaves to its users.
// [Redactor.Object] is for Kubernetes objects: where values are often secret it
// keeps only those that are known to be harmless, and the rest passes Text.
//
// A value that was removed is "[redacted]". A value that may help if it can be
// compared with others is "[hashed 1a2b3c4d]": the hash is keyed with a random
// key that nobody keeps, so that equal values look equal within one archive and
// cannot be guessed.
package redact
