// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/reconbeat/reconbeat/process"
)

// Container returns the container that a process runs in, by its control groups; the zero Container when it runs in
// none. It is false for a process that is gone or ends.
func (fs *FS) Container(pid uint32) (process.Container, bool) {
	b, err := readFile(filepath.Join(fs.root, strconv.FormatUint(uint64(pid), 10), "cgroup"))
	if err != nil {
		return process.Container{}, false
	}
	id := fs.containerOf(b)
	return process.Container{ID: id}, id != "" || !ends(b)
}

// ends reports whether /proc/PID/cgroup is that of a process that ends: the kernel says of the first version's
// hierarchies that it is at their top, wherever it was.
func ends(cgroup []byte) (top bool) {
	for line := range bytes.Lines(cgroup) {
		switch {
		case bytes.HasPrefix(line, []byte("0::")): // of the second version
		case bytes.HasSuffix(line, []byte(":/\n")):
			top = true
		default:
			return false
		}
	}
	return top
}

// groupsMost is how many different lists of control groups are remembered; a host has about one for each service,
// session and container.
const groupsMost = 1024

// containerOf is containerID from memory: most processes share their control groups with one that was read before.
func (fs *FS) containerOf(cgroup []byte) string {
	id, ok := fs.groups[string(cgroup)]
	if ok {
		return id
	}
	if len(fs.groups) >= groupsMost {
		clear(fs.groups)
	}
	id = containerID(cgroup)
	fs.groups[string(cgroup)] = id
	return id
}

// containerID finds the id of a container in /proc/PID/cgroup: runtimes name the control group by 64 hexadecimal
// digits, alone (docker with cgroupfs, Kubernetes), or in a systemd scope with their own name before it
// (docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope). What starts a container on the host has a
// scope of its own (libpod-conmon-ID.scope). LXC and systemd-nspawn name the group by the container's name, BuildKit
// and buildah that of a step of a build by an id of their own.
func containerID(cgroup []byte) string {
	for line := range bytes.Lines(cgroup) {
		_, path, ok := strings.Cut(strings.TrimSpace(string(line)), ":")
		if !ok {
			continue
		}
		_, path, ok = strings.Cut(path, ":")
		if !ok {
			continue
		}
		parts := strings.Split(path, "/")
		for i := len(parts) - 1; i >= 0; i-- {
			name := strings.TrimSuffix(parts[i], ".scope")
			if j := strings.LastIndexAny(name, "-:"); j >= 0 && isContainerID(name[j+1:]) {
				if strings.HasSuffix(name[:j], "conmon") {
					return ""
				}
				return name[j+1:]
			}
			if isContainerID(name) {
				return name
			}
			if name, ok := strings.CutPrefix(name, "lxc.payload."); ok {
				return name
			}
			if i > 0 && parts[i-1] == "lxc" {
				return name
			}
			if id := buildStep(parts[:i], name); id != "" {
				return id
			}
			if i > 0 && name == "payload" && nspawned(parts[i-1]) != "" {
				return nspawned(parts[i-1])
			}
		}
	}
	return ""
}

// buildStep is the id of a step in the build of an image, by its control group and those above it; empty: it is none.
func buildStep(above []string, name string) string {
	_, build, _ := strings.Cut(name, "-")
	switch {
	case len(above) > 0 && above[len(above)-1] == "buildkit" && process.IsBuildStep(name):
		return name
	case (strings.HasPrefix(name, "docker-") || strings.HasPrefix(name, "buildah-")) && process.IsBuildStep(build):
		return build
	}
	return ""
}

// nspawned is the name of systemd-nspawn's container by the unit that its payload runs in; empty: it is none.
func nspawned(unit string) string {
	for _, kind := range []struct{ before, after string }{{"systemd-nspawn@", ".service"}, {"machine-", ".scope"}} {
		if name, ok := strings.CutPrefix(unit, kind.before); ok {
			if name, ok = strings.CutSuffix(name, kind.after); ok {
				return strings.ReplaceAll(name, `\x2d`, "-") // as systemd escapes it
			}
		}
	}
	return ""
}

func isContainerID(s string) bool {
	if len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}
