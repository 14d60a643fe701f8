package postgres

import (
	"crypto/rand"
	"fmt"
	"os"

	"kubernaut.ai/internal/devstack/supervise"
)

const passwordFile = "password"

// newPassword creates a server's password and stores it where only this
// process's user can read it.
func newPassword(dir *supervise.Dir) (string, error) {
	password := rand.Text()
	if err := os.WriteFile(dir.Join(passwordFile), []byte(password), 0o600); err != nil {
		return "", fmt.Errorf("store password: %w", err)
	}
	return password, nil
}

func readPassword(dir *supervise.Dir) (string, error) {
	password, err := os.ReadFile(dir.Join(passwordFile))
	if err != nil {
		return "", fmt.Errorf("read password of the data directory: %w", err)
	}
	return string(password), nil
}
