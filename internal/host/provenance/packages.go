// SPDX-License-Identifier: Apache-2.0

package provenance

import (
	"errors"

	"github.com/reconbeat/reconbeat/internal/host/dpkg"
	"github.com/reconbeat/reconbeat/internal/host/rpm"
)

// packages are the databases of package managers that a host may have. One of them may have both: dpkg is a package of
// Fedora's.
type packages struct {
	dpkg dpkg.Database
	rpm  rpm.Database
}

// marks is different for different states of the databases.
type marks struct {
	dpkg dpkg.Mark
	rpm  rpm.Mark
}

// owner is the package that a file belongs to. The zero owner: no package's.
type owner struct {
	name, version string
	sum           string // lower-case hex, of the contents that it installed; empty: it has given none
	md5           bool   // what sum is, else SHA-256
}

func packagesOf(root string) packages { return packages{dpkg.New(root), rpm.New(root)} }

func (p packages) marks() marks { return marks{p.dpkg.Mark(), p.rpm.Mark()} }

// owner finds whose a file is, where one of the databases can be read.
func (p packages) owner(path string) (owner, error) {
	d, err := p.dpkg.Owner(path)
	switch {
	case err == nil && d.Package != "":
		return owner{name: d.Package, version: d.Version, sum: d.MD5, md5: true}, nil
	case err != nil && !errors.Is(err, dpkg.ErrNone):
		return owner{}, err
	}
	r, errRPM := p.rpm.Owner(path)
	if errors.Is(errRPM, rpm.ErrNone) {
		return owner{}, err
	}
	return owner{name: r.Package, version: r.Version, sum: r.Sum, md5: r.MD5}, errRPM
}
