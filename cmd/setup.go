// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/version"
	"github.com/elastic/elastic-agent-libs/kibana"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/internal/plural"
)

// rulesFlag has `setup` load the detection rules, which libbeat knows nothing of.
const rulesFlag = "rules"

// rulesFile is where the detection rules are, from path.home.
var rulesFile = filepath.Join("kibana", "rules", "reconbeat.ndjson")

// addRules gives `setup` the flag --rules. As with libbeat's own flags, only what is asked for is done; unlike them,
// nothing asked for is not everything: rules raise alerts, and want rights that the rest does not.
func addRules(setup *cobra.Command, settings instance.Settings) {
	setup.Flags().Bool(rulesFlag, false, "Load the detection rules into Elastic Security")
	setup.Short = "Set up index templates, pipelines, dashboards, detection rules"
	setup.Long = `This command does initial setup of the environment:

 * Index templates, lifecycles and ingest pipelines in Elasticsearch.
 * Dashboards, data views and saved queries in Kibana (--dashboards).
 * Detection rules in Elastic Security (only with --rules).

With a flag, only what it names is set up. Without one, all but the rules.
`
	others := setup.Run
	setup.Run = func(cmd *cobra.Command, args []string) {
		rules, _ := cmd.Flags().GetBool(rulesFlag) // the flag is ours: it is there and a bool
		if !rules {
			others(cmd, args)
			return
		}
		if err := setupRules(settings, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "Error loading the detection rules: %v\n", err)
			os.Exit(1)
		}
	}
	setup.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, flag := range []string{"dashboards", "pipelines", "index-management"} {
			if cmd.Flags().Changed(rulesFlag) && cmd.Flags().Changed(flag) {
				return fmt.Errorf("--%s and --%s are set up by a command each", rulesFlag, flag)
			}
		}
		return nil
	}
}

// setupRules loads the rules of path.home into the Kibana, and the space of it, that setup.kibana names.
func setupRules(settings instance.Settings, out io.Writer) error {
	b, err := instance.NewInitializedBeat(settings)
	if err != nil {
		return err
	}
	file := b.Paths.Resolve(paths.Home, rulesFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	client, err := kibana.NewKibanaClient(instance.InitKibanaConfig(b.Config), Name, b.Info.Version, version.Commit(),
		version.BuildTime().String())
	if err != nil {
		return fmt.Errorf("connecting to Kibana: %w", err)
	}
	defer client.Close()
	return detectionRules{client, out}.load(text)
}

// detectionRules are the rules of a Kibana.
type detectionRules struct {
	kibana *kibana.Client
	out    io.Writer // where it says what was done
}

// rule is a rule as Kibana shows it and takes it, with all keys that we do not look at.
type rule map[string]json.RawMessage

// about reads what we look at of a rule.
func (r rule) about() (id, name string, version int, err error) {
	for key, to := range map[string]any{"rule_id": &id, "name": &name, "version": &version} {
		if e := json.Unmarshal(r[key], to); e != nil {
			err = errors.Join(err, fmt.Errorf("the rule's %s: %w", key, e))
		}
	}
	return id, name, version, err
}

// kept are the keys in which a user's decisions are: they outlive a new version of the rule.
var kept = []string{"enabled", "exceptions_list", "actions"}

// load imports the rules of which Kibana does not have this version.
func (d detectionRules) load(ndjson []byte) error {
	var wanted bytes.Buffer
	var done []string
	for line := range bytes.Lines(ndjson) {
		var r rule
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("reading a rule: %w", err)
		}
		id, name, version, err := r.about()
		if err != nil {
			return err
		}
		there, err := d.get(id)
		if err != nil {
			return fmt.Errorf("asking for the rule %q: %w", name, err)
		}
		if there != nil {
			if _, _, has, err := there.about(); err == nil && has >= version {
				fmt.Fprintf(d.out, "Rule %q: version %d is there already\n", name, has)
				continue
			}
			for _, key := range kept {
				if v, ok := there[key]; ok {
					r[key] = v
				}
			}
		}
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("writing the rule %q: %w", name, err)
		}
		wanted.Write(append(text, '\n'))
		done = append(done, fmt.Sprintf("Rule %q: loaded version %d\n", name, version))
	}
	if len(done) == 0 {
		return nil
	}
	if err := d.importAll(wanted.Bytes(), len(done)); err != nil {
		return err
	}
	_, err := io.WriteString(d.out, strings.Join(done, ""))
	return err
}

// get returns the rule that Kibana has. nil: it has none.
func (d detectionRules) get(id string) (rule, error) {
	status, body, err := d.send(http.MethodGet, "/api/detection_engine/rules", url.Values{"rule_id": {id}}, nil, nil)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, nil
	case status != http.StatusOK:
		return nil, refused(status, body)
	}
	var r rule
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("reading Kibana's answer: %w", err)
	}
	return r, nil
}

// importAll imports n rules. Kibana says 200 also when it took none of them.
func (d detectionRules) importAll(ndjson []byte, n int) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="reconbeat.ndjson"`},
		"Content-Type":        {"application/ndjson"},
	})
	if err == nil {
		_, err = part.Write(ndjson)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("writing the form: %w", err)
	}
	status, body, err := d.send(http.MethodPost, "/api/detection_engine/rules/_import",
		url.Values{"overwrite": {"true"}}, http.Header{"Content-Type": {w.FormDataContentType()}}, &form)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return refused(status, body)
	}
	var answer struct {
		Success bool `json:"success"`
		Count   int  `json:"success_count"`
		Errors  []struct {
			RuleID string `json:"rule_id"`
			ID     string `json:"id"`
			Error  struct {
				Message string `json:"message"`
			} `json:"error"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("reading Kibana's answer: %w", err)
	}
	var errs []error
	for _, e := range answer.Errors {
		errs = append(errs, fmt.Errorf("the rule %s%s: %s", e.RuleID, e.ID, e.Error.Message))
	}
	if len(errs) == 0 && (!answer.Success || answer.Count != n) {
		errs = append(errs, fmt.Errorf("only %d of %s taken, and Kibana does not say why", answer.Count,
			plural.Of(n, "rule")))
	}
	return errors.Join(errs...)
}

func (d detectionRules) send(method, path string, params url.Values, headers http.Header,
	body io.Reader) (int, []byte, error) {
	resp, err := d.kibana.Send(method, path, params, headers, body)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer to %s %s: %w", method, path, err)
	}
	return resp.StatusCode, answer, nil
}

// refused says why Kibana did not do what it was asked.
func refused(status int, body []byte) error {
	var answer struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Message == "" {
		answer.Message = strings.TrimSpace(string(body[:min(len(body), 500)]))
	}
	err := fmt.Errorf("answer %d of Kibana: %s", status, answer.Message)
	if status == http.StatusForbidden || status == http.StatusUnauthorized {
		err = fmt.Errorf("%w; the user needs all rights on Security's rules in this space", err)
	}
	return err
}
