// SPDX-License-Identifier: Apache-2.0

package process

import (
	"cmp"
	"strings"
)

// someContainer is the identity of every container of which only the id is known.
const someContainer = "a container"

// Identity is what the containers that follow each other have in common, since each restart and each new version has an
// id of its own: namespace, workload and container of Kubernetes, else the image without tag and digest, else the name.
// It is empty outside of a container.
func (c Container) Identity() string {
	switch {
	case c.Pod != "":
		name := workload(c.Pod)
		if c.Namespace != "" {
			name = c.Namespace + "/" + name
		}
		if part := cmp.Or(c.Part, untagged(c.Image)); part != "" {
			name += "/" + part
		}
		return name
	case c.Image != "":
		return untagged(c.Image)
	case c.Name != "":
		return c.Name
	case c.ID == "":
		return ""
	case len(c.ID) >= idDigits && within(c.ID, hexDigits), IsBuildStep(c.ID):
		return someContainer
	}
	return c.ID // LXC and systemd-nspawn have no other than the container's name
}

// IsBuildStep reports whether an id is one that BuildKit or buildah gives to a step in the build of an image.
func IsBuildStep(id string) bool {
	if number, ok := strings.CutPrefix(id, "buildah"); ok {
		return within(number, digits)
	}
	return len(id) == buildDigits && within(id, letters+digits)
}

// untagged is the name of an image without tag and digest. An image that is known by its digest alone keeps it.
func untagged(image string) string {
	name, digest, ok := strings.Cut(image, "@")
	if !ok && strings.HasPrefix(name, "sha256:") || name == "" && digest != "" {
		return image
	}
	if tag := strings.LastIndexByte(name, ':'); tag > strings.LastIndexByte(name, '/') && tag > 0 {
		name = name[:tag] // what stands before a slash is the registry's port
	}
	return name
}

const (
	hexDigits = "0123456789abcdef"
	digits    = "0123456789"
	letters   = "abcdefghijklmnopqrstuvwxyz"
	// podLetters are those that Kubernetes makes names of: no vowels, so that they make no words.
	podLetters = "bcdfghjklmnpqrstvwxz2456789"
	// idDigits is the least that a runtime's id has; docker shows so many.
	idDigits = 12
	// buildDigits is how many BuildKit's id of a step has, to the base of 36.
	buildDigits = 25
)

// workload is what a pod belongs to, by its name: web of the Deployment's web-7c5ddbdf54-2xkvz, of the StatefulSet's
// web-0, of the DaemonSet's web-x7k2p and of the CronJob's web-28912345-x7k2p.
func workload(pod string) string {
	name, last := lastPart(pod)
	if name == "" {
		return pod
	}
	if within(last, digits) {
		return name // the ordinal in a StatefulSet
	}
	if len(last) != 5 || !within(last, podLetters) {
		return pod
	}
	owner, hash := lastPart(name)
	if owner != "" && (within(hash, digits) || len(hash) >= 6 && len(hash) <= 10 && within(hash, podLetters)) {
		return owner
	}
	return name
}

// lastPart cuts a name at its last hyphen. The first half is empty where there is none.
func lastPart(s string) (before, last string) {
	i := strings.LastIndexByte(s, '-')
	return s[:max(i, 0)], s[i+1:]
}

// within reports whether a text is made of some letters alone, at least one.
func within(s, letters string) bool { return s != "" && strings.Trim(s, letters) == "" }
