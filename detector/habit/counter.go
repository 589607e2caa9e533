// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"encoding/json"
	"math"
	"slices"
	"unique"
)

// text is a value of a feature, held once however many actors show it.
type text = unique.Handle[string]

// counter counts the values of one feature: in how many visits each was seen, or, of a class, by how many actors.
//
// All weights of a Model grow with time instead of fading (a match at t adds 2^(t/halfLife)), so that the passing of
// time costs nothing; a fade turns them back.
type counter []value

type value struct {
	text   text
	weight float64
}

// tally is what a counter knows of one value, in the Pitman-Yor process of Teh 2006, "A hierarchical Bayesian language
// model based on Pitman-Yor processes", section 3.
type tally struct {
	n     float64 // how often it was seen, faded
	all   float64 // how often any was
	kinds float64 // how many different ones were
	share float64 // the part of the probability that it has of its own
	novel float64 // the part that is left for what was never seen
}

// with is the tally with one more that is of this value, or of another.
func (t tally) with(this bool) tally {
	if this && t.n >= 1 {
		t.kinds--
	}
	t.all++
	t.kinds++
	if this {
		t.n++
	}
	return t.predict()
}

// predict fills share and novel.
func (t tally) predict() tally {
	t.share = (t.n - discount*min(1, t.n)) / (t.all + strength)
	t.novel = (strength + discount*t.kinds) / (t.all + strength)
	return t
}

// tally counts a value that has all but faded as less than a whole one.
func (c counter) tally(v text, fade float64) tally {
	var t tally
	for i := range c {
		n := c[i].weight * fade
		t.all += n
		t.kinds += min(1, n)
		if c[i].text == v {
			t.n = n
		}
	}
	return t.predict()
}

// add counts a value, and reports whether it is new, or had all but faded. The lightest goes where there are too many.
func (c *counter) add(v text, w float64) (isNew bool) {
	for i := range *c {
		if x := &(*c)[i]; x.text == v {
			isNew = x.weight < forgotten*w
			x.weight += w
			return isNew
		}
	}
	if len(*c) < maxValues {
		*c = append(*c, value{v, w})
		return true
	}
	lightest := 0
	for i := range *c {
		if (*c)[i].weight < (*c)[lightest].weight {
			lightest = i
		}
	}
	*c = append(slices.Delete(*c, lightest, lightest+1), value{v, w})
	return true
}

// heaviest returns the value that was seen most, nil where none was.
func (c counter) heaviest() (top *value) {
	for i := range c {
		if top == nil || c[i].weight > top.weight {
			top = &c[i]
		}
	}
	return top
}

// top returns at most n values, the heaviest first.
func (c counter) top(n int, fade float64) []Seen {
	sorted := slices.Clone(c)
	slices.SortStableFunc(sorted, func(a, b value) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	out := make([]Seen, 0, min(n, len(sorted)))
	for _, v := range sorted[:min(n, len(sorted))] {
		if w := v.weight * fade; w >= forgotten {
			out = append(out, Seen{Value: v.text.Value(), Visits: w})
		}
	}
	return out
}

// stored is a counter as JSON has it: its values, and their weights in the same order.
type stored struct {
	Values  []string  `json:"v,omitempty"`
	Weights []float64 `json:"w,omitempty"`
}

// MarshalJSON keeps the order: sums of floating-point numbers depend on it.
func (c counter) MarshalJSON() ([]byte, error) {
	var s stored
	for i := range c {
		s.Values = append(s.Values, c[i].text.Value())
		s.Weights = append(s.Weights, c[i].weight)
	}
	return json.Marshal(s)
}

// UnmarshalJSON refuses what MarshalJSON would not have written.
func (c *counter) UnmarshalJSON(b []byte) error {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if len(s.Values) != len(s.Weights) || len(s.Values) > maxValues || !usable(s.Weights...) {
		return errNumbers
	}
	*c = make(counter, len(s.Values))
	for i, v := range s.Values {
		(*c)[i] = value{unique.Make(v), s.Weights[i]}
	}
	return nil
}

func finite(numbers ...float64) bool {
	return !slices.ContainsFunc(numbers, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}

// mostWeight is more than weights grow to, which is 2^mostGrown for each visit; sums of such weights are finite.
const mostWeight = 1e290

// usable reports whether all numbers are weights: finite, not negative, and no more than mostWeight.
func usable(numbers ...float64) bool {
	return finite(numbers...) && !slices.ContainsFunc(numbers, func(x float64) bool { return x < 0 || x > mostWeight })
}
