// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Joiner puts together the lines of programs in containers, of which Docker's json-file and the logs of Kubernetes
// (CRI) make several where they are long. The zero value is ready. It belongs to one goroutine.
type Joiner struct {
	held []heldLine // of each stream that has one: at most two of either form, of MaxLine bytes and one part each
}

// heldLine is a line of which the end is still to come.
type heldLine struct {
	stream string
	text   []byte
	docker bool
	at     string // the time of its first part
}

// linePart is a line of a container's log.
type linePart struct {
	docker bool
	stream string
	at     string
	text   []byte
	ended  bool // the line of the program ends with it
}

// dockerPart is how many bytes Docker and Kubernetes put into one part of a long line.
const dockerPart = 16 << 10

// Line takes a line, and returns the whole one that it ends; not ok while more of it is to come. What is no part is
// returned as it is. The result is valid until the next call.
func (j *Joiner) Line(line []byte) (whole []byte, ok bool) {
	p, ok := partOf(line, len(j.held) > 0)
	if !ok {
		return line, true
	}
	i := slices.IndexFunc(j.held, func(h heldLine) bool { return h.stream == p.stream })
	if i < 0 {
		if p.ended || p.docker && isWhole(p.text, len(p.text)) {
			return line, true
		}
		i = len(j.held)
		j.held = append(j.held, heldLine{stream: p.stream, at: p.at, docker: p.docker})
	}
	h := &j.held[i]
	h.text = append(h.text, p.text...)
	if !p.ended && !(p.docker && isWhole(h.text, len(p.text))) && len(h.text) < MaxLine {
		return nil, false
	}
	whole = h.line()
	j.held = slices.Delete(j.held, i, i+1)
	return whole, true
}

// Rest returns a line of which the end never came, and forgets it; nil: there is none.
func (j *Joiner) Rest() []byte {
	if len(j.held) == 0 {
		return nil
	}
	line := j.held[0].line()
	j.held = j.held[1:]
	return line
}

// line is the line as it would have been written in one part.
func (h *heldLine) line() []byte {
	if !h.docker {
		return append([]byte(h.at+" "+h.stream+" F "), h.text...)
	}
	whole := dockerLine{Log: string(h.text), Stream: h.stream, Time: h.at}
	line, err := json.Marshal(whole, jsontext.AllowInvalidUTF8(true))
	if err != nil { // there is no such text
		return h.text
	}
	return line
}

// dockerLine is a line of Docker's json-file.
type dockerLine struct {
	Log    string `json:"log"`
	Stream string `json:"stream"`
	Time   string `json:"time"`
}

// partOf returns the part that a line is. One that is a whole line counts only where some are held.
func partOf(line []byte, held bool) (p linePart, ok bool) {
	if bytes.HasPrefix(line, dockerMark) {
		if !held && (bytes.Contains(line, dockerEnd) || !bytes.Contains(line, streamMark)) {
			return linePart{}, false // nearly always
		}
		var d dockerLine
		if json.Unmarshal(line, &d, jsontext.AllowInvalidUTF8(true)) != nil || !isStream(d.Stream) {
			return linePart{}, false
		}
		p = linePart{docker: true, stream: d.Stream, at: d.Time, text: []byte(d.Log)}
		p.ended = bytes.HasSuffix(p.text, []byte("\n"))
		return p, true
	}
	if len(line) < len("2026-03-03T01:06:40Z stdout P ") || line[4] != '-' || line[10] != 'T' {
		return linePart{}, false
	}
	at, rest, _ := bytes.Cut(line, []byte(" "))
	stream, rest, _ := bytes.Cut(rest, []byte(" "))
	tag, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok || !isStream(string(stream)) || string(tag) != "P" && !held {
		return linePart{}, false
	}
	return linePart{stream: string(stream), at: string(at), text: text, ended: string(tag) != "P"}, true
}

// isStream says whether it is one of the streams that a program in a container has.
func isStream(name string) bool { return name == "stdout" || name == "stderr" }

var (
	dockerMark = []byte(`{"log":`)
	dockerEnd  = []byte(`\n",`)
	streamMark = []byte(`"stream":`)
)

// isWhole says whether the parts of a line that Docker has written are all of it, although none has the line's end:
// whoever has read it before may have cut that off. last is the length of the last part.
func isWhole(text []byte, last int) bool {
	if !bytes.HasPrefix(text, []byte("{")) {
		return last < dockerPart
	}
	return bytes.HasSuffix(text, []byte("}")) &&
		jsontext.Value(text).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
}
