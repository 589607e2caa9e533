// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestContainerIdentity has what restarts, new versions and replaced pods keep of a container.
func TestContainerIdentity(t *testing.T) {
	id := strings.Repeat("c0ffee00", 8)
	for _, c := range []struct {
		name string
		of   Container
		want string
	}{
		{name: "none"},
		{name: "id alone", of: Container{ID: id}, want: "a container"},
		{name: "id as docker shows it", of: Container{ID: id[:12]}, want: "a container"},
		{name: "a step of docker build", of: Container{ID: "vnmdpgywd9ornfufzg8fn5roz"}, want: "a container"},
		{name: "a step of podman build", of: Container{ID: "buildah56027421"}, want: "a container"},
		{name: "LXC's own buildah", of: Container{ID: "buildah-1"}, want: "buildah-1"},
		{name: "LXC", of: Container{ID: "web1"}, want: "web1"},
		{name: "a name of hexadecimal digits", of: Container{ID: "cafe"}, want: "cafe"},
		{name: "name", of: Container{ID: id, Name: "shop-web-1"}, want: "shop-web-1"},
		{name: "image", of: Container{ID: id, Name: "shop-web-1", Image: "shop/web"}, want: "shop/web"},
		{name: "tag", of: Container{Image: "shop/web:1.2.3"}, want: "shop/web"},
		{name: "port", of: Container{Image: "registry.example:5000/shop/web"}, want: "registry.example:5000/shop/web"},
		{
			name: "port, tag and digest", want: "registry.example:5000/shop/web",
			of: Container{Image: "registry.example:5000/shop/web:1.2@sha256:" + id},
		},
		{name: "digest", of: Container{Image: "shop/web@sha256:" + id}, want: "shop/web"},
		{name: "digest alone", of: Container{Image: "sha256:" + id}, want: "sha256:" + id},
		{name: "hostile images", of: Container{Image: ":"}, want: ":"},
		{name: "a digest of nothing", of: Container{Image: "@x"}, want: "@x"},
		{
			name: "Deployment", want: "shop/web/nginx",
			of: Container{ID: id, Namespace: "shop", Pod: "web-7c5ddbdf54-2xkvz", Part: "nginx", Image: "nginx:1.27"},
		},
		{name: "its next version", of: Container{Namespace: "shop", Pod: "web-6b8f9c4-zzzzz", Part: "nginx"},
			want: "shop/web/nginx"},
		{name: "StatefulSet", of: Container{Namespace: "shop", Pod: "db-12", Image: "mariadb:11"}, want: "shop/db/mariadb"},
		{name: "DaemonSet", of: Container{Namespace: "kube-system", Pod: "kube-proxy-x7k2p"},
			want: "kube-system/kube-proxy"},
		{name: "CronJob", of: Container{Pod: "backup-28912345-x7k2p"}, want: "backup"},
		{name: "indexed Job", of: Container{Pod: "render-3-x7k2p"}, want: "render"},
		{name: "a pod of nobody", of: Container{Pod: "nginx"}, want: "nginx"},
		{name: "a static pod", of: Container{Pod: "etcd-node-one"}, want: "etcd-node-one"},
		{name: "a word of five letters", of: Container{Pod: "my-nginx"}, want: "my-nginx"},
		{name: "hyphens", of: Container{Pod: "-"}, want: "-"},
	} {
		require.Equal(t, c.want, c.of.Identity(), c.name)
	}
}
