// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/process"
)

// followUpsMost is how many alerts wait for their follow-up; beyond, the oldest is followed up early.
const followUpsMost = 256

// followUps are those that wait for what comes after their alerts, the first alert first.
type followUps []*document.FollowUp

// due takes those out whose time is over by now, and hands each on with the end of its time.
func (w *followUps) due(now time.Time, each func(*document.FollowUp, time.Time)) {
	for len(*w) > 0 {
		end := (*w)[0].Began().Add(process.RecentFor)
		if end.After(now) {
			return
		}
		w.takeFirst(end, each)
	}
}

// add takes in another one, and makes room for it.
func (w *followUps) add(u *document.FollowUp, each func(*document.FollowUp, time.Time)) {
	if len(*w) == followUpsMost {
		w.takeFirst(u.Began(), each)
	}
	*w = append(*w, u)
}

func (w *followUps) takeFirst(end time.Time, each func(*document.FollowUp, time.Time)) {
	first := (*w)[0]
	(*w)[0] = nil
	*w = (*w)[1:]
	each(first, end)
}

// end takes those out for which nothing more will come, and hands each on with the time of that.
func (w *followUps) end(
	ended func(*document.FollowUp) bool, at time.Time, each func(*document.FollowUp, time.Time),
) {
	kept := (*w)[:0]
	for _, u := range *w {
		if ended(u) {
			each(u, at)
			continue
		}
		kept = append(kept, u)
	}
	clear((*w)[len(kept):])
	*w = kept
}

// all takes all out, for no time will come any more.
func (w *followUps) all(now time.Time, each func(*document.FollowUp, time.Time)) {
	w.due(now, each)
	for len(*w) > 0 {
		w.takeFirst(now, each)
	}
}
