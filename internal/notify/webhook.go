// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/template"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/httpcommon"
)

// shapes are the bodies that are shipped. The function json writes a value as JSON. Slack's is that of incoming webhooks
// (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks), that of Teams an Adaptive Card for its
// Workflows, and that of PagerDuty its Events API v2.
var shapes = map[string]string{
	"json": `{{ .JSON }}`,
	"slack": `{"text": {{ json .Line }},
		"blocks": [{"type": "section", "text": {"type": "plain_text", "text": {{ json (cut 2900 .Line) }}}}]}`,
	"teams": `{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive",
		"content": {"type": "AdaptiveCard", "version": "1.4", "body": [
			{"type": "TextBlock", "weight": "Bolder", "wrap": true, "text": {{ json .Title }}},
			{"type": "TextBlock", "wrap": true, "text": {{ json .Line }}}]}}]}`,
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
		"json": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"cut": func(n int, s string) string {
			if r := []rune(s); len(r) > n {
				return string(r[:n-1]) + "…"
			}
			return s
		},
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
	v := values{Alert: a, Variables: b.variables, Title: printable(a.Message), Source: a.Host, JSON: string(doc)}
	if v.Title == "" {
		v.Title = a.Line()
	}
	if v.Source == "" {
		v.Source = "reconbeat"
	}
	// Elastic's borders: low below 47, medium below 73, high below 99.
	switch {
	case a.Severity >= 99:
		v.Level = "critical"
	case a.Severity >= 73:
		v.Level = "error"
	case a.Severity >= 47:
		v.Level = "warning"
	default:
		v.Level = "info"
	}
	var out bytes.Buffer
	if err := b.template.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("filling the template: %w", err)
	}
	if !json.Valid(out.Bytes()) {
		return nil, fmt.Errorf("the template makes no JSON: %.200s", out.String())
	}
	return out.Bytes(), nil
}

// webhook delivers to an HTTP endpoint.
type webhook struct {
	url     string
	headers map[string]string
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
	return &webhook{h.URL, h.Headers, b, client}, nil
}

// errRefused says that a target will not take this alert, however often it is asked.
var errRefused = errors.New("it refuses this alert")

func (h *webhook) deliver(ctx context.Context, a *Alert) error {
	text, err := h.body.of(a)
	if err != nil {
		return errors.Join(errRefused, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range h.headers {
		request.Header.Set(name, value)
	}
	answer, err := h.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 512)) // a hint for the log
	if answer.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("%s: %s", answer.Status, printable(strings.TrimSpace(string(said))))
	refusals := []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}
	if slices.Contains(refusals, answer.StatusCode) {
		return errors.Join(errRefused, err)
	}
	return err
}

// withoutURL is an error of a request without its URL, which may be a secret: whoever knows a Slack webhook can write
// there.
func withoutURL(err error) error {
	for {
		inner, is := err.(interface { //nolint:errorlint // each layer is looked at
			Unwrap() error
		})
		if !is || !strings.Contains(err.Error(), "://") {
			return fmt.Errorf("posting: %w", err)
		}
		err = inner.Unwrap()
	}
}

func (h *webhook) close() { h.client.CloseIdleConnections() }
