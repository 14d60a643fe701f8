package stack

import (
	"crypto/rand"
	"fmt"
	"os/user"

	"kubernaut.ai/internal/devstack/controlplane"
)

// AutoUser is the user who decides where nobody is asked.
const AutoUser = "demo-auto"

// people are the users of the control plane, without the administrator's rights: whoever runs the
// stack, and AutoUser.
func (s *Stack) people() ([]controlplane.User, error) {
	me, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("find out who runs the stack: %w", err)
	}
	s.addresses.User = me.Username
	var users []controlplane.User
	for _, name := range []string{me.Username, AutoUser} {
		users = append(users, controlplane.User{Name: name, UID: "up:" + name, Groups: []string{"kubernaut-up"}, Token: rand.Text()})
	}
	return users, nil
}
