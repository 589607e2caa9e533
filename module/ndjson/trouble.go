// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/reconbeat/reconbeat/ecs"
)

// logEvery is how often the log speaks of malformed lines; in between they are counted.
const logEvery = time.Minute

// trouble is what was wrong with lines of a file.
type trouble struct {
	path   string
	line   uint64    // the number of the line that is being read, since reading began
	first  error     // what was wrong first in this file
	last   error     // what was wrong last, not yet logged
	count  uint64    // how often, not yet logged
	logged time.Time // when the log last spoke of it
}

func (t *trouble) add(err error) {
	t.last = fmt.Errorf("line %d: %w", t.line, err)
	t.count++
	if t.first == nil {
		t.first = t.last
	}
}

// idle logs malformed lines when it is time to.
func (m *documents) idle() error {
	if m.trouble.count > 0 && time.Since(m.trouble.logged) >= logEvery {
		m.log(&m.trouble)
	}
	return nil
}

// log logs the malformed lines that the log does not have yet.
func (m *documents) log(t *trouble) {
	switch {
	case t.count == 0:
		return
	case t.count == 1:
		m.env.Logger.Warnf("%s: a line is not a document and is passed over: %v", t.path, t.last)
	default:
		m.env.Logger.Warnf("%s: %d lines are not documents and are passed over, the last: %v", t.path, t.count, t.last)
	}
	t.count, t.logged = 0, time.Now()
}

// explained adds to an error what is most likely the matter.
func explained(line []byte, err error) error {
	switch {
	case bytes.Equal(line, []byte("{")) || bytes.Equal(line, []byte("[")):
		return fmt.Errorf("%w; it may be pretty-printed JSON: write one document a line (jq -c)", err)
	case errors.Is(err, ecs.ErrNoTimestamp) && bytes.HasPrefix(line, []byte(`{"error":`)):
		return fmt.Errorf("%w; it is an error that Elasticsearch answered", err)
	}
	return err
}

// isAction says whether a line is one of the bulk API's, which says where the document goes that follows.
func isAction(line []byte) bool {
	line = bytes.TrimLeft(bytes.TrimPrefix(line, []byte("{")), blank)
	for _, action := range []string{`"index"`, `"create"`, `"update"`, `"delete"`} {
		if rest, ok := bytes.CutPrefix(line, []byte(action)); ok {
			rest = bytes.TrimLeft(bytes.TrimPrefix(bytes.TrimLeft(rest, blank), []byte(":")), blank)
			return len(rest) > 0 && rest[0] == '{'
		}
	}
	return false
}
