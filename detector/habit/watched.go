// SPDX-License-Identifier: Apache-2.0

package habit

import "time"

// watched is the time for which a Model has watched its host. It advances with the times of what happens there, and
// leaves out a stop of reconbeat and the jumps of a clock that was wrong. Now is a time on an axis of its own, which
// begins with the first time that was observed; everything ages and fades along it.
type watched struct {
	Began time.Time `json:"began"`           // where the axis begins; zero: nothing was watched yet
	Now   time.Time `json:"now"`             // how far it has come
	Last  time.Time `json:"last"`            // what the host's clock said then
	Was   time.Time `json:"was,omitzero"`    // what it had said before it was set back; zero: it was not
	Hours int       `json:"hours,omitempty"` // in how many of the clock's hours something happened
	// Stopped: nothing was watched from Last on until the next time that is observed.
	Stopped bool `json:"stopped,omitempty"`
}

const (
	// late is how far back a time may lie without meaning that the clock was set back: sources deliver out of order.
	late = time.Hour
	// usualPauses bounds a silence that counts as quiet watching: so many times the usual pause between two hours in
	// which something happens. A longer one counts as that long.
	usualPauses = 12
	// firstPause is the usual pause of a host of which nothing is known.
	firstPause = 5 * day
	// longestSilence is longer than any host's: what exceeds it is a clock that was set, and counts as nothing.
	longestSilence = 120 * day
)

// at is the watched time at which the host's clock says t. A time that lies back by an hour or less is a little back on
// the axis.
func (w *watched) at(t time.Time) time.Time {
	if t == w.Last { // as it mostly is
		return w.Now
	}
	return w.ahead(t)
}

// ahead is at for whatever time.
func (w *watched) ahead(t time.Time) time.Time {
	step := t.Sub(w.Last)
	switch {
	case w.Began.IsZero():
		return t
	case step < -late:
		return w.Now
	case step <= 0:
		return w.Now.Add(step)
	case w.Stopped:
		return w.Now
	case step > late && !w.Was.IsZero() && !t.Before(w.Was):
		step = t.Sub(w.Was) // the clock is where it was before it was set back
	}
	if step > longestSilence {
		return w.Now
	}
	if step <= late && time.Duration(max(1, w.Hours))*step <= usualPauses*firstPause {
		return w.Now.Add(step) // mostSilence is not less, and costs a division
	}
	return w.Now.Add(min(step, w.mostSilence()))
}

// mostSilence is the longest silence that counts as watching, for how often things have happened until now.
func (w *watched) mostSilence() time.Duration {
	return usualPauses * (w.Now.Sub(w.Began) + firstPause) / time.Duration(max(1, w.Hours))
}

// observe goes on to t.
func (w *watched) observe(t time.Time) {
	if w.Began.IsZero() {
		*w = watched{Began: t, Now: t, Last: t, Hours: 1}
		return
	}
	if !w.goOn(t) {
		w.goTo(t)
	}
}

// goOn is goTo where a glance is enough, as for nearly every exec: t is of the same hour as the last time. Else it does
// nothing, and returns false.
func (w *watched) goOn(t time.Time) bool {
	now, last := t.Unix(), w.Last.Unix()
	if now/3600 != last/3600 || w.Stopped {
		return false
	}
	step := time.Duration(now-last)*time.Second + time.Duration(t.Nanosecond()-w.Last.Nanosecond())
	if step <= 0 {
		return true
	}
	if time.Duration(w.Hours)*step > usualPauses*firstPause {
		return false
	}
	w.Now, w.Last = w.Now.Add(step), t
	if !w.Was.IsZero() && !t.Before(w.Was) {
		w.Was = time.Time{}
	}
	return true
}

// goTo goes on to t, wherever it lies.
func (w *watched) goTo(t time.Time) {
	step := t.Sub(w.Last)
	if step <= 0 && step >= -late {
		return
	}
	w.Now = w.ahead(t)
	switch {
	case step < 0:
		w.Was = latest(w.Was, w.Last)
	case !t.Before(w.Was):
		w.Was = time.Time{}
	}
	if t.Unix()/3600 != w.Last.Unix()/3600 {
		w.Hours++
	}
	w.Last, w.Stopped = t, false
}
