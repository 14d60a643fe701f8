//go:build integration

package integration_test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/auth"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/testenv"
)

// examples are the files of docs/recording.md about DataStorage without Kubernetes.
const examples = "../../examples/datastorage/"

var _ = Describe("recording: DataStorage without Kubernetes", func() {
	It("serves with the database roles and the tokens that the page makes", func(ctx SpecContext) {
		suffix := testenv.Unique("_*")
		owner, migrate, serve, database := "kubernaut_owner"+suffix, "kubernaut_migrate"+suffix, "kubernaut_serve"+suffix, "kubernaut"+suffix
		statements := func(file string) []string {
			GinkgoHelper()
			text, err := os.ReadFile(examples + file)
			Expect(err).NotTo(HaveOccurred())
			sql := strings.NewReplacer("kubernaut_owner", owner, "kubernaut_migrate", migrate, "kubernaut_serve", serve, "DATABASE kubernaut", "DATABASE "+database).Replace(string(text))
			return strings.Split(strings.TrimSuffix(strings.TrimSpace(sql), ";"), ";\n")
		}
		as := func(role, password string) string {
			GinkgoHelper()
			u, err := url.Parse(env.PostgreSQL.URL())
			Expect(err).NotTo(HaveOccurred())
			u.Path = "/" + database
			if role != "" {
				u.User = url.UserPassword(role, password)
			}
			return u.String()
		}

		admin := connect(ctx, env.PostgreSQL.URL())
		for _, statement := range statements("roles.sql") {
			execute(ctx, admin, statement)
		}
		DeferCleanup(func(ctx SpecContext) {
			execute(ctx, admin, "DROP DATABASE "+database+" WITH (FORCE)")
			execute(ctx, admin, "DROP ROLE "+migrate)
			execute(ctx, admin, "DROP ROLE "+owner)
			execute(ctx, admin, "DROP ROLE "+serve)
		})
		inside := connect(ctx, as("", ""))
		for _, statement := range statements("grants.sql") {
			execute(ctx, inside, statement)
		}
		_, err := datastorageapp.Migrate(ctx, as(migrate, "change-me"), datastorageapp.Roles{Owner: owner, Serving: serve}, time.Now())
		Expect(err).NotTo(HaveOccurred())

		dir := GinkgoT().TempDir()
		line, err := exec.CommandContext(ctx, "sh", examples+"add-caller.sh", "configtrail", filepath.Join(dir, "token"), "rights=read,write", "types=gateway").Output()
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(filepath.Join(dir, "tokens"), line, 0o600)).To(Succeed())
		token, err := os.ReadFile(filepath.Join(dir, "token"))
		Expect(err).NotTo(HaveOccurred())

		store := ownStore(ctx, func(o *datastorageapp.Options) {
			o.DatabaseURL = as(serve, "change-me-too")
			o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: filepath.Join(dir, "tokens")}
		})
		id := env.CorrelationID()
		created := storeCall(ctx, store.URL, http.MethodPost, storeEvents, bearing(string(token)), encode(anEvent(id, nil)))
		decoded[datastorage.EventCreated](created, http.StatusCreated)
		read := storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?correlation_id="+id, bearing(string(token)), nil)
		Expect(decoded[datastorage.EventPage](read, http.StatusOK).Data).To(ConsistOf(
			HaveField("RecordedBy", HaveValue(Equal("configtrail")))))
		unknown := storeCall(ctx, store.URL, http.MethodGet, storeEvents+"?correlation_id="+id, bearing("another"), nil)
		decoded[datastorage.Problem](unknown, http.StatusUnauthorized)

		serving := connect(ctx, as(serve, "change-me-too"))
		for _, statement := range []string{
			"UPDATE audit_events SET severity = 'low'", "DELETE FROM audit_events", "TRUNCATE audit_events",
			"DROP TABLE audit_events", "CREATE TABLE mine ()",
		} {
			_, err := serving.Exec(ctx, statement)
			Expect(err).To(MatchError(SatisfyAny(ContainSubstring("permission denied"), ContainSubstring("must be owner"))), statement)
		}
	}, SpecTimeout(specTimeout))
})
