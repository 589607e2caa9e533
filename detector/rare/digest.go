// SPDX-License-Identifier: Apache-2.0

package rare

import (
	"cmp"
	"math"
	"slices"
)

// digestSize is a digest's compression factor: a range, other than a single value, holds at most 1/digestSize of all.
const digestSize = 201

// maxNodes bounds the nodes of a digest. Three times digestSize is what the theory says of a large one; a small one
// has at most a node for each value.
const maxNodes = 5 * digestSize

// digest is a q-digest (Shrivastava et al., Medians and Beyond, 2004): how often which whole numbers were, in little
// room. The numbers are the leaves of a binary tree. A leaf that was seen rarely is joined with its sibling into their
// parent, which then counts for either of the two: ranks are known between bounds.
type digest struct {
	nodes []node // those that count something, after their descendants, and the root, which may count nothing
	n     uint64 // the sum of the nodes' counts
}

// node is a range of a power of two numbers, and how many of those seen are known to be in it and in no smaller range.
type node struct {
	max, span uint32 // the greatest number, and how many numbers
	count     uint64
}

func (a node) min() uint32 { return a.max - (a.span - 1) }

func (a node) parent() node {
	if a.min()/a.span%2 == 0 {
		return node{max: a.max + a.span, span: 2 * a.span}
	}
	return node{max: a.max, span: 2 * a.span}
}

func (a node) sibling() node {
	if a.min()/a.span%2 == 0 {
		return node{max: a.max + a.span, span: a.span}
	}
	return node{max: a.max - a.span, span: a.span}
}

// before orders nodes so that each comes after all that are within it.
func before(a, b node) int {
	if c := cmp.Compare(a.max, b.max); c != 0 {
		return c
	}
	return cmp.Compare(a.span, b.span)
}

func (d *digest) find(n node) (int, bool) { return slices.BinarySearchFunc(d.nodes, n, before) }

func (d *digest) root() *node { return &d.nodes[len(d.nodes)-1] }

// copyFrom makes d the same as another, in the room that d has already.
func (d *digest) copyFrom(from *digest) { d.nodes, d.n = append(d.nodes[:0], from.nodes...), from.n }

// add counts a value; times is more than 0.
func (d *digest) add(value uint32, times uint64) {
	if len(d.nodes) == 0 {
		d.nodes = append(d.nodes, node{max: 1, span: 2})
	}
	was := d.n / digestSize
	d.n += times
	grown := d.grow(value)
	i, known := d.find(node{max: value, span: 1})
	if known {
		d.nodes[i].count += times
	} else {
		d.nodes = slices.Insert(d.nodes, i, node{value, 1, times})
	}
	switch {
	case grown || d.n/digestSize != was:
		d.compress()
	case !known: // only the new node can have become joinable
		for i >= 0 {
			i = d.join(i)
		}
	}
}

// grow gives the tree a root that has value within it, and reports whether it needed one.
func (d *digest) grow(value uint32) bool {
	r := *d.root()
	if value <= r.max {
		return false
	}
	for r.max < value {
		r = r.parent()
	}
	if d.root().count == 0 {
		*d.root() = r
	} else {
		d.nodes = append(d.nodes, r)
	}
	return true
}

// join moves the counts of a node and its sibling to their parent, if the three together are too few to distinguish,
// and returns where the parent is; otherwise -1.
func (d *digest) join(i int) int {
	n := d.nodes[i]
	if i == len(d.nodes)-1 {
		return -1 // the root
	}
	parent := n.parent()
	s, hasSibling := d.find(n.sibling())
	p, hasParent := d.find(parent)
	parent.count = n.count
	if hasSibling {
		parent.count += d.nodes[s].count
	}
	if hasParent {
		parent.count += d.nodes[p].count
	}
	if parent.count >= d.n/digestSize {
		return -1
	}
	if hasParent {
		d.nodes[p].count = parent.count
	} else {
		d.nodes = slices.Insert(d.nodes, p, parent)
	}
	// Both come before the parent. The one further back goes first, so that the other's index stays.
	first, last := i, i
	if hasSibling {
		first, last = min(i, s), max(i, s)
		d.nodes = slices.Delete(d.nodes, last, last+1)
		p--
	}
	d.nodes = slices.Delete(d.nodes, first, first+1)
	return p - 1
}

// compress joins whatever can be joined, from the leaves to the root, until nothing can.
func (d *digest) compress() {
	if d.n < digestSize {
		return // every node counts at least one, which is enough
	}
	for joined := true; joined; {
		joined = false
		for span := uint32(1); span < d.root().span; span *= 2 {
			for i := 0; i < len(d.nodes)-1; i++ {
				if d.nodes[i].span != span {
					continue
				}
				if p := d.join(i); p >= 0 {
					joined = true
					i = max(-1, i-2) // what has moved up is not left out
				}
			}
		}
	}
}

// fade multiplies all counts, rounded and never to 0.
func (d *digest) fade(factor float64) {
	was := d.n
	d.n = 0
	for i := range d.nodes {
		if c := &d.nodes[i].count; *c > 0 {
			*c = uint64(math.Max(float64(*c)*factor+0.5, 1))
			d.n += *c
		}
	}
	if d.n != was {
		d.compress()
	}
}

// atMost returns the least and the greatest share that the values up to x can have.
func (d *digest) atMost(x uint32) (low, high float64) {
	var l, h uint64
	for _, n := range d.nodes {
		if n.max <= x {
			l += n.count
		}
		if n.min() <= x {
			h += n.count
		}
	}
	if d.n == 0 {
		return 0, 0
	}
	return float64(l) / float64(d.n), float64(h) / float64(d.n)
}

// density returns the least and the greatest share that each number about x can have: the share between the next
// smaller end of a node and the next greater one, evenly spread. Beside a gap it is small, and beyond the last node
// nearly nothing, whatever the share of x itself is.
func (d *digest) density(x uint32) (low, high float64) {
	left, right := d.neighbours(x)
	leftLow, leftHigh := d.atMost(left)
	rightLow, rightHigh := d.atMost(right)
	width := math.Max(float64(right)-float64(left), 1)
	return math.Max(rightLow-leftHigh, 0) / width, math.Max(rightHigh-leftLow, 0) / width
}

// neighbours returns the greatest end of a node below x, 0 if there is none, and the least end above it. Of the ends
// above only two kinds count: the root's, if it counts something, and those of the nodes directly under it. Without one
// the right neighbour is the greatest number.
func (d *digest) neighbours(x uint32) (left, right uint32) {
	right = math.MaxUint32
	under := uint32(math.MaxUint32) // the start of the last node seen directly under the root; the next ends before it
	for i := len(d.nodes) - 1; i >= 0; i-- {
		n := d.nodes[i]
		switch isRoot := i == len(d.nodes)-1; {
		case isRoot && n.count == 0:
		case n.max < x:
			return n.max, right
		case n.max > x && (isRoot || n.max < under):
			right = min(right, n.max)
			if !isRoot {
				under = n.min()
			}
		}
	}
	return 0, right
}

// quantile returns the end of the first node up to which there are a share q of all values, between 0 and 1.
func (d *digest) quantile(q float64) uint32 {
	rank, sum := uint64(q*float64(d.n)+0.5), uint64(0)
	for _, n := range d.nodes {
		if sum += n.count; sum >= rank {
			return n.max
		}
	}
	return 0
}

// step is a value and how many were at most as great.
type step struct {
	value uint32
	count uint64
}

// steps appends the ends of the nodes in order, each with the sum of the counts up to it.
func (d *digest) steps(to []step) []step {
	sum := uint64(0)
	for _, n := range d.nodes {
		if n.count == 0 {
			continue
		}
		sum += n.count
		if len(to) == 0 || to[len(to)-1].value != n.max {
			to = append(to, step{value: n.max})
		}
		to[len(to)-1].count = sum
	}
	return to
}
