// Package admission tells who denied a request: an admission policy, an
// admission webhook, a quota, or the API server's own validation. Only the last
// is permanent; people change the others.
package admission
