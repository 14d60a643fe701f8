module kubernaut.ai/hack/kind-node

go 1.26.0
