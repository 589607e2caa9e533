// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/template"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/httpcommon"

	"github.com/reconbeat/reconbeat/internal/printable"
)

// shapes are the bodies that are shipped. The function json writes a value as JSON. Slack's is that of incoming
// webhooks (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks), that of Teams an Adaptive Card
// for its Workflows, and that of PagerDuty its Events API v2. No text of an alert is read as markup: a command must not
// make links, nor call a whole channel.
var shapes = map[string]string{
	"json": `{{ .JSON }}`,
	"slack": `{"text": {{ json (slack (cut 2900 .Line)) }},
		"blocks": [{"type": "section", "text": {"type": "plain_text", "text": {{ json (cut 2900 .Line) }}}}]}`,
	"teams": `{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive",
		"content": {"type": "AdaptiveCard", "version": "1.4", "body": [
			{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "weight": "Bolder", "text": {{ json .Title }}}]},
			{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": {{ json .Line }}}]}]}}]}`,
	"pagerduty": `{"routing_key": {{ json .Variables.routing_key }}, "event_action": "trigger",
		"dedup_key": {{ json .ID }}, "payload": {"summary": {{ json (cut 1000 .Line) }}, "source": {{ json .Source }},
		"severity": {{ json .Level }}, "timestamp": {{ json .Time }}, "component": "reconbeat",
		"class": {{ json .Rule }}, "custom_details": {{ .JSON }}}}`,
}

// body makes the bodies of a webhook.
type body struct {
	template  *template.Template
	variables map[string]string
}

// values is what a template sees: the Alert, and these.
type values struct {
	*Alert
	Variables map[string]string
	Title     string // the message
	Source    string // the host, "reconbeat" where it is unknown
	Level     string // info, warning, error or critical, by the severity
	JSON      string // the whole document
}

func (h *Webhook) body() (*body, error) {
	text := h.Template
	if text == "" {
		shape := h.Shape
		if shape == "" {
			shape = "json"
		}
		if text = shapes[shape]; text == "" {
			return nil, fmt.Errorf("%q is not allowed; it must be json, slack, teams or pagerduty", h.Shape)
		}
	}
	t, err := template.New("body").Option("missingkey=error").Funcs(template.FuncMap{
		"json": func(v any) (string, error) { b, err := printable.JSON(v); return string(b), err },
		"cut": func(n int, s string) string {
			if r := []rune(s); len(r) > n {
				return string(r[:n-1]) + "…"
			}
			return s
		},
		"slack": strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace,
	}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	return &body{t, h.Variables}, nil
}

// of is the body for an alert; an error where it is not JSON.
func (b *body) of(a *Alert) ([]byte, error) {
	doc, err := a.json()
	if err != nil {
		return nil, err
	}
	v := values{
		Alert: a, Variables: b.variables, Title: shortened(printable.Text(a.Message), mostLine),
		Source: cmp.Or(a.Host, "reconbeat"), Level: a.level(), JSON: string(doc),
	}
	var out bytes.Buffer
	if err := b.template.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("filling the template: %w", err)
	}
	var is any
	if err := json.Unmarshal(out.Bytes(), &is); err != nil { // what it made may hold secrets
		return nil, fmt.Errorf("the template makes no JSON: %w", err)
	}
	return out.Bytes(), nil
}

// webhook delivers to an HTTP endpoint.
type webhook struct {
	url     string
	headers map[string]string
	secrets *strings.Replacer // hides what an answer may repeat
	body    *body
	client  *http.Client
}

func newWebhook(h *Webhook, logger *logp.Logger) (*webhook, error) {
	b, err := h.body()
	if err != nil {
		return nil, err
	}
	t, err := h.transport()
	if err != nil {
		return nil, err
	}
	client, err := t.Client(httpcommon.WithLogger(logger))
	if err != nil {
		return nil, fmt.Errorf("making an HTTP client: %w", err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	hidden := []string{h.URL, "xxxxx"}
	if u, err := url.Parse(h.URL); err == nil && len(u.RequestURI()) > 1 {
		hidden = append(hidden, u.RequestURI(), "xxxxx")
	}
	for _, values := range []map[string]string{h.Headers, h.Variables} {
		for _, value := range values {
			if len(value) >= 8 {
				hidden = append(hidden, value, "xxxxx")
			}
		}
	}
	return &webhook{h.URL, h.Headers, strings.NewReplacer(hidden...), b, client}, nil
}

// errRefused says that a target will not take this alert, however often it is asked.
var errRefused = errors.New("the target refuses this alert")

// refusals are the answers to a request that is wrong itself: the same one again would be, too.
var refusals = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}

func (h *webhook) deliver(ctx context.Context, a *Alert) error {
	text, err := h.body.of(a)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("making a request: %w", withoutURL(err))
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range h.headers {
		request.Header.Set(name, value)
	}
	answer, err := h.client.Do(request)
	if err != nil {
		return fmt.Errorf("posting: %w", withoutURL(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 == 2 {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 512)) // a hint for the log
	hint := printable.Text(h.secrets.Replace(strings.TrimSpace(string(said))))
	err = fmt.Errorf("the answer is %s: %s", answer.Status, hint)
	switch {
	case slices.Contains(refusals, answer.StatusCode):
		return fmt.Errorf("%w: %w", errRefused, err)
	case answer.StatusCode/100 == 3:
		return fmt.Errorf("redirects are not followed: %w", err)
	}
	return err
}

// withoutURL is an error of a request without its URL, which may be a secret: whoever knows a Slack webhook can write
// there.
func withoutURL(err error) error {
	for of := (*url.Error)(nil); errors.As(err, &of); {
		err = of.Err
	}
	return err
}

func (h *webhook) close() { h.client.CloseIdleConnections() }
