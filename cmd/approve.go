// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/printable"
)

// longestApproval is how long work may be approved for; what takes longer is an exception.
const longestApproval = 30 * 24 * time.Hour

// request is what the flags of approve say.
type request struct {
	users, hosts, rules names
	lasts               time.Duration
	ticket, comment     string
	revoke              string
	list                bool
}

func newApproveCommand(settings instance.Settings) *cobra.Command {
	var r request
	c := &cobra.Command{
		Use:   "approve --user NAME --for DURATION --ticket TICKET",
		Short: "Approve work that would alert, until a time",
		Long: `approve has a user raise no alert for some hours. The running reconbeat takes it up within seconds; what it
holds back still ships as raw events that name it, and nothing is learned from it. Who approved and when is in the log,
and in an event beside the alerts.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneTask(c); err != nil {
				return err
			}
			return approve(settings, r)
		},
	}
	f := c.Flags()
	f.Var(&r.users, "user", "the actor, by name; may be repeated")
	f.DurationVar(&r.lasts, "for", 0, "how long from now, such as 4h; at most 720h")
	f.StringVar(&r.ticket, "ticket", "", "where the work is described, such as OPS-123")
	f.StringVar(&r.comment, "comment", "", "what it is about")
	f.Var(&r.hosts, "host", "on this host alone, by name; may be repeated; all by default")
	f.Var(&r.rules, "rule", "for the rule with this id alone; may be repeated; all by default")
	f.StringVar(&r.revoke, "revoke", "", "end the approval with this id now")
	f.BoolVar(&r.list, "list", false, "list what is approved, and what was")
	return c
}

// oneTask returns an error for flags of which each asks for something else.
func oneTask(c *cobra.Command) error {
	for _, task := range []string{"list", "revoke"} {
		if !c.Flags().Changed(task) {
			continue
		}
		for _, other := range []string{"revoke", "user", "for", "ticket", "comment", "host", "rule"} {
			if other != task && c.Flags().Changed(other) {
				return fmt.Errorf("--%s goes alone; leave out --%s", task, other)
			}
		}
	}
	return nil
}

// check returns everything that is wrong with a request for an approval.
func (r *request) check() error {
	var errs []error
	if len(r.users) == 0 {
		errs = append(errs, errors.New("--user is missing; it must be the name of an account"))
	}
	if r.lasts < time.Minute || r.lasts > longestApproval {
		errs = append(errs, fmt.Errorf("--for %s is not allowed; it must be 1m to 720h", r.lasts))
	}
	if strings.TrimSpace(r.ticket) == "" {
		errs = append(errs, errors.New("--ticket is missing; it must say where the work is described, such as OPS-123"))
	}
	return errors.Join(errs...)
}

func approve(settings instance.Settings, r request) error {
	if r.revoke == "" && !r.list {
		if err := r.check(); err != nil {
			return err
		}
	}
	b, err := configured(settings)
	if err != nil {
		return err
	}
	cfg, items, err := configuredControls(b, nil, time.Local)
	if err != nil {
		return err
	}
	folder, now := engine.ApprovalsDir(b.Paths), time.Now().Truncate(time.Second)
	switch {
	case r.list:
		printApprovals(items.Approvals, now)
		return nil
	case r.revoke != "":
		return revoke(folder, items.Approvals, r.revoke, now)
	}
	rules, err := config.LoadRules(b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath), cfg.Detector.Rules)
	if err != nil {
		return err
	}
	var ids []string
	for _, rule := range rules {
		ids = append(ids, rule.ID)
	}
	for _, id := range r.rules {
		if !slices.Contains(ids, id) {
			return fmt.Errorf("--rule %q is the id of no rule; it must be one of %s", id, strings.Join(ids, ", "))
		}
	}
	a, err := r.approval(now)
	if err != nil {
		return err
	}
	if err := keep(folder, a); err != nil {
		return err
	}
	fmt.Printf("%s: no alert on %s until %s (%s)\n", a.ID, printable.Text(strings.Join(r.users, ", ")), a.Expires,
		printable.Text(a.Ticket))
	if !cfg.Controls.Reload.Enabled {
		fmt.Println("controls.reload.enabled is false: reconbeat takes it up when it is restarted.")
	}
	return nil
}

// approval is the item that a request asks for.
func (r *request) approval(now time.Time) (control.Approval, error) {
	a := control.NewApproval()
	var random [3]byte
	rand.Read(random[:]) // never fails
	a.ID = "approval-" + now.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(random[:])
	a.Name, a.Comment, a.Ticket, a.Author = "Approved work", r.comment, r.ticket, whoami()
	a.Created = control.Moment(now.UTC().Format(time.RFC3339))
	a.Expires = control.Moment(now.Add(r.lasts).UTC().Format(time.RFC3339))
	a.Rules = r.rules
	a.Conditions = []control.Condition{{Field: "reconbeat.actor.name", IsOneOf: control.Texts(r.users)}}
	if hosts := control.Texts(r.hosts); len(hosts) > 0 {
		a.Conditions = append(a.Conditions, control.Condition{Any: []control.Condition{
			{Field: "host.name", IsOneOf: hosts}, {Field: "host.hostname", IsOneOf: hosts},
		}})
	}
	return a, a.Check()
}

// whoami is who runs this: the login user, whatever sudo made of them, beside the account that it runs as.
func whoami() string {
	account := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		account = u.Username
	}
	login, err := os.ReadFile("/proc/self/loginuid")
	if err != nil {
		return account
	}
	u, err := user.LookupId(strings.TrimSpace(string(login)))
	if err != nil || u.Username == account { // 4294967295: nobody logged in, as in a service
		return account
	}
	return u.Username + " as " + account
}

// keep writes an approval into the folder that the running reconbeat looks into. It is there whole, or it is not.
func keep(folder string, a control.Approval) error {
	var text bytes.Buffer
	if err := config.WriteApprovals(&text, []control.Approval{a}); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("writing the approval: %w", err)
	}
	whole := filepath.Join(folder, a.ID+".yml")
	if err := os.WriteFile(whole+".new", text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing the approval: %w", err)
	}
	if err := os.Rename(whole+".new", whole); err != nil {
		return fmt.Errorf("writing the approval: %w", err)
	}
	return nil
}

// revoke ends an approval. Its file stays, for whoever reviews what was approved.
func revoke(folder string, all []control.Approval, id string, now time.Time) error {
	for _, a := range all {
		switch {
		case a.ID != id:
			continue
		case !now.Before(a.End(time.Local)):
			return fmt.Errorf("--revoke %q: it has ended already, at %s", id, a.Expires)
		}
		a.Expires, a.RevokedBy = control.Moment(now.UTC().Format(time.RFC3339)), whoami()
		if err := keep(folder, a); err != nil {
			return err
		}
		fmt.Printf("%s is revoked.\n", id)
		return nil
	}
	return fmt.Errorf("--revoke %q is the id of no approval; reconbeat approve --list has them", id)
}

func printApprovals(all []control.Approval, now time.Time) {
	if len(all) == 0 {
		fmt.Println("Nothing is approved.")
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tID\tWHO\tUNTIL\tTICKET\tAPPROVED BY\tCOMMENT")
	for _, a := range all {
		state := "on"
		switch {
		case a.RevokedBy != "":
			state = "revoked by " + a.RevokedBy
		case !now.Before(a.End(time.Local)):
			state = "ended"
		}
		var who []string
		for _, c := range a.Conditions {
			who = append(who, c.String())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", state, a.ID, printable.Text(strings.Join(who, " and ")), a.Expires,
			printable.Text(a.Ticket), printable.Text(a.Author), printable.Text(cmp.Or(a.Comment, "-")))
	}
	w.Flush()
}
