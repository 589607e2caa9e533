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
	// Longest is the longest silence. It says nothing of how long the others are.
	Longest time.Duration `json:"longest,omitempty"`
	// Stopped: nothing was watched from Last on until the next time that is observed.
	Stopped bool `json:"stopped,omitempty"`
}

const (
	// late is how far back a time may lie without meaning that the clock was set back: sources deliver out of order.
	late = time.Hour
	// usualPauses bounds a silence that counts as quiet watching: so many times the usual pause between two hours in
	// which something happens. A longer one counts as that long.
	usualPauses = 24
	// firstPause is the usual pause of a host of which nothing is known. With the hours it counts for ever less.
	firstPause = 60 * time.Hour
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
	if w.Began.IsZero() {
		return t
	}
	return w.Now.Add(w.counted(w.silence(t)))
}

// silence is for how long nothing has happened at t; negative: t comes late.
func (w *watched) silence(t time.Time) time.Duration {
	silence := t.Sub(w.Last)
	switch {
	case silence <= 0 && silence >= -late:
		return silence
	case silence < 0, w.Stopped:
		return 0
	case silence > late && !w.Was.IsZero() && !t.Before(w.Was):
		silence = t.Sub(w.Was) // the clock is where it was before it was set back
	}
	if silence > longestSilence {
		return 0
	}
	return silence
}

// counted is how much of a silence counts as watching, for how often things have happened until now.
func (w *watched) counted(silence time.Duration) time.Duration {
	if silence <= late {
		return silence
	}
	hours := time.Duration(max(1, w.Hours))
	others := w.Now.Sub(w.Began) + silence - max(w.Longest, silence)
	return min(silence, usualPauses*((others+firstPause/hours)/hours))
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
	silence := w.silence(t)
	counted := w.counted(silence)
	w.Now = w.Now.Add(counted)
	switch {
	case step < 0:
		w.Was = latest(w.Was, w.Last)
	case !t.Before(w.Was):
		w.Was = time.Time{}
	}
	if t.Unix()/3600 != w.Last.Unix()/3600 {
		w.Longest = max(w.Longest, counted)
		w.Hours++
	}
	w.Last, w.Stopped = t, false
}
