//go:build integration

package integration_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/mustgather"
)

// gathered is the result of a run of must-gather.
type gathered struct {
	output string
	// archive is the path that it printed last, files is what the archive holds.
	archive string
	files   map[string]string
}

// gatherWith runs must-gather with full access to the suite's API server and DataStorage.
func gatherWith(ctx context.Context, change func(*mustgather.Options)) *gathered {
	GinkgoHelper()
	return gatherFrom(ctx, func(o *mustgather.Options) {
		o.Kubeconfig, o.DataStorageURL, o.TimeLimit = env.Kubeconfig, env.DataStorage.URL, time.Minute
		o.MaxObjects = 20 // other specs make hundreds
		change(o)
	})
}

// gatherFrom runs must-gather and reads the archive.
func gatherFrom(ctx context.Context, change func(*mustgather.Options)) *gathered {
	GinkgoHelper()
	var output bytes.Buffer
	o := mustgather.Options{Dest: temporaryFolder(), Out: &output}
	change(&o)
	archive, err := mustgather.Run(ctx, o)
	Expect(err).NotTo(HaveOccurred(), output.String())
	lines := strings.Split(strings.TrimSpace(output.String()), "\n")
	Expect(lines[len(lines)-1]).To(Equal(archive))
	return &gathered{output: output.String(), archive: archive, files: unpack(archive)}
}

// unpack reads all files of an archive; their names begin below its one folder.
func unpack(archive string) map[string]string {
	GinkgoHelper()
	Expect(archive).To(HaveSuffix(".tar.gz"))
	file, err := os.Open(archive)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(file.Close()).To(Succeed()) }()
	decompressed, err := gzip.NewReader(file)
	Expect(err).NotTo(HaveOccurred())
	files := map[string]string{}
	reader := tar.NewReader(decompressed)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		Expect(err).NotTo(HaveOccurred())
		folder, name, _ := strings.Cut(path.Clean(header.Name), "/")
		Expect(folder + ".tar.gz").To(Equal(filepath.Base(archive)))
		if header.Typeflag == tar.TypeReg {
			Expect(header.Mode&0o077).To(BeZero(), "%s is for its owner alone", header.Name)
			content, err := io.ReadAll(reader)
			Expect(err).NotTo(HaveOccurred())
			files[name] = string(content)
		}
	}
}

// names are those of the files, sorted.
func (g *gathered) names() []string { return slices.Sorted(maps.Keys(g.files)) }

// file returns the content of a file that must exist.
func (g *gathered) file(name string) string {
	GinkgoHelper()
	Expect(g.files).To(HaveKey(name), "there are %v; not collected: %s", g.names(), g.files["not-collected.txt"])
	return g.files[name]
}

// with returns the names of the files that contain a text.
func (g *gathered) with(text string) []string {
	var names []string
	for _, name := range g.names() {
		if strings.Contains(name+g.files[name], text) {
			names = append(names, name)
		}
	}
	return names
}

// notCollected returns the entry of something that could not be collected.
func (g *gathered) notCollected(what string) string {
	GinkgoHelper()
	_, entry, found := strings.Cut("\n"+g.file("not-collected.txt"), "\n"+what+"\n")
	Expect(found).To(BeTrue(), "%s is not in %s", what, g.file("not-collected.txt"))
	reason, rest, _ := strings.Cut(entry, "\n")
	command, _, _ := strings.Cut(rest, "\n")
	Expect(reason).To(HavePrefix("    reason:  "))
	Expect(command).To(HavePrefix("    command: "))
	return reason + "\n" + command
}

// restrictedKubeconfig is a kubeconfig file of a service account with the given
// permissions in the process's namespace.
func restrictedKubeconfig(ctx context.Context, rules ...rbacv1.PolicyRule) string {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Namespace: env.Namespace, Name: aName()}
	account := &corev1.ServiceAccount{ObjectMeta: meta}
	Expect(env.Create(ctx, account)).To(Succeed())
	Expect(env.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules})).To(Succeed())
	Expect(env.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: meta.Namespace, Name: meta.Name}},
	})).To(Succeed())
	Eventually(ctx, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + meta.Namespace + ":" + meta.Name,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: env.Namespace, Group: rules[0].APIGroups[0], Resource: rules[0].Resources[0], Verb: rules[0].Verbs[0],
			},
		}}
		err := env.Create(ctx, review)
		return review.Status.Allowed, err
	}).Should(BeTrue())
	token := &authenticationv1.TokenRequest{}
	Expect(env.SubResource("token").Create(ctx, account, token)).To(Succeed())

	const name = "restricted"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: env.Config.Host, CertificateAuthorityData: env.Config.CAData}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(clientcmd.WriteToFile(*file, kubeconfig)).To(Succeed())
	return kubeconfig
}

// aName returns a unique name.
func aName() string { return strings.ToLower(rand.Text()) }

// create makes objects in the process's namespace.
func create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		object.SetNamespace(env.Namespace)
		Expect(env.Create(ctx, object)).To(Succeed())
	}
}
