// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	jsonv2 "github.com/go-json-experiment/json"

	"github.com/reconbeat/reconbeat/config/settings"
)

// TriageOptions is what a user may set for reading what analysts say in Kibana.
type TriageOptions struct {
	Connection `config:",inline"`
	Enabled    bool          `config:"enabled"`
	Space      string        `config:"space"`  // the id of the space in Kibana in which the rule on our alerts runs
	Period     time.Duration `config:"period"` // of asking
	// A mark is a tag of an alert, the reason for which it was closed, or its status. These stand for a verdict each.
	Benign    []string `config:"benign"`
	Malicious []string `config:"malicious"`
	Unsure    []string `config:"unsure"`
}

// The marks are those that Kibana offers: tags of securitySolution:alertTags, and reasons for closing.
func triageDefaults() TriageOptions {
	return TriageOptions{
		Connection: Connection{Timeout: 30 * time.Second},
		Enabled:    true,
		Space:      "default",
		Period:     time.Minute,
		Benign:     []string{"False Positive", "false_positive", "benign_positive"},
		Malicious:  []string{"True Positive", "true_positive"},
		Unsure:     []string{"Further investigation required"},
	}
}

// spaceID is what Kibana allows as the id of a space.
var spaceID = regexp.MustCompile(`^[a-z0-9_-]+$`)

// check returns every wrong value.
func (o TriageOptions) check() error {
	var m mistakes
	o.Connection.check(&m)
	if !spaceID.MatchString(o.Space) {
		m.wrong("space", o.Space, "the id of a space in Kibana: letters a-z, digits, - and _")
	}
	m.between("period", o.Period, time.Second, 24*time.Hour)
	first := map[string]string{}
	for _, list := range o.lists() {
		for i, mark := range list.marks {
			at := fmt.Sprintf("%s.%d", list.verdict, i)
			switch other := first[mark]; {
			case mark == "":
				m.wrong(at, mark, "a tag, a reason for closing, or a status")
			case other != "":
				m = append(m, fmt.Errorf("%s: %q is in %s already; a mark stands for one verdict", at, mark, other))
			}
			first[mark] = list.verdict
		}
	}
	if len(first) == 0 {
		m = append(m, errors.New("benign: it is empty, and so are malicious and unsure; nothing would ever be read"))
	}
	return errors.Join(m...)
}

// Triage reads what analysts have said of alerts in Kibana. It belongs to one goroutine.
type Triage struct {
	TriageOptions
	logger *logp.Logger
	client *client
}

// NewTriage makes a Triage of its options. It opens nothing; the error names every option that is wrong.
func NewTriage(cfg *conf.C, logger *logp.Logger) (*Triage, error) {
	o := triageDefaults()
	errRead := errors.Join(settings.Read("", cfg, &o), settings.Unknown("", cfg, o))
	if err := settings.Behind(errRead, o.check()); err != nil {
		return nil, err
	}
	return &Triage{TriageOptions: o, logger: logger}, nil
}

// Word is what an analyst has said of an alert.
type Word struct {
	AlertID string // event.id of our alert
	Verdict string // benign, malicious or unsure; empty: Kibana has the alert, and no mark that stands for a verdict
	Mark    string // by which it was said
	By      string // the user, where Kibana names one
}

// The fields of an alert of Elastic Security. The rule that makes one of ours keeps our event.id, and copies it.
const (
	alertSpace    = ".alerts-security.alerts-" // of a space, as an alias
	originalID    = "kibana.alert.original_event.id"
	ownID         = "event.id"
	workflowTags  = "kibana.alert.workflow_tags"
	workflowClose = "kibana.alert.workflow_reason"
	workflowState = "kibana.alert.workflow_status"
	workflowUser  = "kibana.alert.workflow_user"
)

// batch is how many alerts one search asks about. Several rules may make an alert of each: all of them fit a page.
const batch = 1000

// Words returns what has been said of our alerts with these ids. Of an alert of which Kibana has nothing, or has it
// no longer, there is none.
func (t *Triage) Words(ctx context.Context, ids []string) (words []Word, err error) {
	if t.client == nil {
		t.client, err = connect(ctx, t.Connection, []string{alertSpace + t.Space}, t.logger)
		if err != nil {
			return nil, err
		}
	}
	for some := range slices.Chunk(ids, batch) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		found, err := t.ask(some)
		if err != nil {
			return nil, err
		}
		words = append(words, found...)
	}
	return words, nil
}

// Close ends the connections.
func (t *Triage) Close() {
	if t.client != nil {
		t.client.close()
		t.client = nil
	}
}

// ask asks about some alerts. The fields come by the mapping, since Kibana writes some with dots in their names and
// others as objects.
func (t *Triage) ask(ids []string) ([]Word, error) {
	request := search(mostPage, sorted("@timestamp", "asc"), []any{
		anyOf(object{"terms": object{originalID: ids}}, object{"terms": object{ownID: ids}}),
	})
	request["_source"] = false
	request["fields"] = []string{originalID, ownID, workflowTags, workflowClose, workflowState, workflowUser}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encoding a search: %w", err)
	}
	// A space without alerts is an error: whoever mistypes one would wait for ever.
	text, err := t.client.ask("_search", map[string]string{"allow_partial_search_results": "false"}, body)
	if err != nil {
		return nil, err
	}
	return t.wordsOf(text, ids)
}

// wordsOf reads what is said in the answer to a search about some alerts.
func (t *Triage) wordsOf(text []byte, ids []string) ([]Word, error) {
	var a answer
	if err := jsonv2.Unmarshal(text, &a, lenient); err != nil {
		return nil, fmt.Errorf("reading the answer to a search: %w", err)
	}
	if err := a.whole(); err != nil {
		return nil, err
	}
	if len(a.Hits.Hits) == mostPage {
		return nil, fmt.Errorf("the space has more than %d alerts of %d of ours; do many rules make one of the same?",
			mostPage, len(ids))
	}
	return t.read(a.Hits.Hits, ids), nil
}

// read finds what is said of each alert. Where several rules made an alert of it, malicious goes before all, and any
// word before none.
func (t *Triage) read(hits []hit, ids []string) (words []Word) {
	at := map[string]int{}
	for i := range hits {
		f := hits[i].Fields
		named := slices.Concat(f.texts(originalID), f.texts(ownID))
		which := slices.IndexFunc(named, func(id string) bool { return slices.Contains(ids, id) })
		if which < 0 {
			continue // an answer to another question
		}
		w, id := t.word(f), named[which]
		w.AlertID = id
		n, there := at[id]
		switch {
		case !there:
			at[id] = len(words)
			words = append(words, w)
		case words[n].Verdict == "", w.Verdict == malicious:
			words[n] = w
		}
	}
	return words
}

// word is what one alert of Kibana's says. The reason for closing it goes before its tags, and those before its status;
// but whoever says malicious is heard in any case.
func (t *Triage) word(f fields) Word {
	w := Word{By: f.first(workflowUser)}
	for _, field := range []string{workflowClose, workflowTags, workflowState} {
		verdict, mark := t.verdict(f.texts(field))
		if w.Verdict == "" || verdict == malicious && w.Verdict != malicious {
			w.Verdict, w.Mark = verdict, mark
		}
	}
	return w
}

// verdict is the gravest that marks stand for, and by which; empty: none does.
func (t *Triage) verdict(marks []string) (verdict, by string) {
	for _, list := range t.lists() {
		for _, mark := range marks {
			if slices.Contains(list.marks, mark) {
				return list.verdict, mark
			}
		}
	}
	return "", ""
}

// The verdicts, which are the names of their options, too.
const (
	benign    = "benign"
	malicious = "malicious"
	unsure    = "unsure"
)

// marked is a verdict with the marks that stand for it.
type marked struct {
	verdict string
	marks   []string
}

// lists are the marks of each verdict, the gravest first.
func (o TriageOptions) lists() []marked {
	return []marked{{malicious, o.Malicious}, {unsure, o.Unsure}, {benign, o.Benign}}
}

// fields are values of a document by the names of their fields, each a list.
type fields map[string][]any

func (f fields) texts(name string) (all []string) {
	for _, v := range f[name] {
		if text, ok := v.(string); ok {
			all = append(all, strings.TrimSpace(text))
		}
	}
	return all
}

// first is the first value of a field; empty: it has none.
func (f fields) first(name string) string {
	for _, text := range f.texts(name) {
		return text
	}
	return ""
}
