// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/api"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/elastic/go-sysinfo"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	reconfig "github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/secret"
)

const (
	logLines   = 2000            // the last ones of the log that go into the archive
	logBytes   = 4 << 20         // and no more than that of it
	askTimeout = 5 * time.Second // for the running Beat, and for the journal of systemd
)

func newDiagnosticsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diagnostics [FILE]",
		Short: "Put everything that a helper needs to know into one archive, with secrets masked",
		Long: `diagnostics writes a zip file with: versions of reconbeat and of the host; the configuration, its modules,
rules and controls, with secrets masked; what each module would see here; what the rules mean; the files of the
state, by name and size; metrics and health of the running reconbeat, where http.enabled is true; and the end of the
log and of the service's journal.

What was learned, events and alerts are not in it. The log names hosts and users: read it before you hand the
archive on. What could not be collected is listed here and in the archive's errors.txt.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := diagnosticsName(time.Now())
			if len(args) > 0 {
				file = args[0]
			}
			return diagnose(file)
		},
	}
}

func diagnosticsName(now time.Time) string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return fmt.Sprintf("%s-diagnostics-%s-%s.zip", Name, host, now.UTC().Format("20060102T150405Z"))
}

// diagnose writes the archive. A broken configuration is no reason to end: it may be what somebody asks about.
func diagnose(file string) error {
	if filepath.Ext(file) != ".zip" {
		return fmt.Errorf("the archive is a zip file: invalid name %q (want FILE.zip)", file)
	}
	if err := cfgfile.HandleFlags(); err != nil {
		return fmt.Errorf("reading the flags: %w", err)
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: remove it, or name another file", file)
	}
	if err != nil {
		return fmt.Errorf("making the archive: %w", err)
	}
	a := &archive{zip: zip.NewWriter(out), at: time.Now()}
	cfg, unread := cfgfile.Load("", nil)
	if unread != nil {
		a.fail("the configuration", unread)
		cfg = overwritten() // where the files are is known without it
	}
	where := paths.New()
	if err := instance.InitPaths(cfg); err != nil {
		a.fail("the paths", err)
	} else {
		where = paths.Paths
	}
	a.add("versions.txt", versions)
	a.add("paths.txt", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\nconfiguration: %s\n", where, strings.Join(configurationFiles(), ", "))
		return err
	})
	a.configuration(where)
	a.add("modules.txt", func(w io.Writer) error { testModules(w); return nil })
	a.add("rules.txt", func(w io.Writer) error {
		var own reconfig.Config
		if sub, err := cfg.Child(Name, -1); err == nil {
			if own, err = reconfig.Parse(sub); err != nil {
				return err
			}
		} else {
			own = reconfig.Default()
		}
		list, err := chosenRules(where.Resolve(paths.Config, own.Detector.RulesPath), own, nil)
		if err != nil {
			return err
		}
		printRules(w, list, false)
		return nil
	})
	a.add("state.txt", func(w io.Writer) error { return listFolder(w, where.Data) })
	if unread == nil {
		a.running(cfg)
	} else {
		a.fail("metrics and health", errors.New("where to ask a running reconbeat is in the configuration"))
	}
	a.log(where.Logs)
	if len(a.failed) > 0 {
		a.add("errors.txt", func(w io.Writer) error {
			_, err := io.WriteString(w, secret.MaskText(strings.Join(a.failed, "\n")+"\n"))
			return err
		})
	}
	if err := errors.Join(a.err, a.zip.Close(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the archive: %w", err), os.Remove(file))
	}
	for _, f := range a.failed {
		fmt.Fprintln(os.Stderr, "not in it: "+secret.MaskText(f))
	}
	fmt.Printf("Wrote %s. It names hosts and users of yours, the log above all: read it before you hand it on.\n", file)
	return nil
}

// archive gathers what can be had, and keeps what could not.
type archive struct {
	zip    *zip.Writer
	at     time.Time
	failed []string
	err    error // of writing
}

func (a *archive) fail(what string, err error) {
	a.failed = append(a.failed, fmt.Sprintf("%s: %v", what, err))
}

// add puts a text into the archive. A text that fails stays as far as it came.
func (a *archive) add(name string, write func(io.Writer) error) {
	var text bytes.Buffer
	if err := write(&text); err != nil {
		a.fail(name, err)
	}
	if text.Len() == 0 || a.err != nil {
		return
	}
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.at})
	if err == nil {
		_, err = w.Write(text.Bytes())
	}
	a.err = err
}

func versions(w io.Writer) error {
	fmt.Fprint(w, versionLine(Version))
	fmt.Fprintf(w, "%s, user %d\n", runtime.Version(), os.Getuid())
	host, err := sysinfo.Host()
	if err != nil {
		return fmt.Errorf("asking for this host's description: %w", err)
	}
	info := host.Info()
	fmt.Fprintf(w, "kernel %s, %s\n", info.KernelVersion, info.Architecture)
	if info.OS != nil {
		fmt.Fprintf(w, "%s %s\n", info.OS.Name, info.OS.Version)
	}
	fmt.Fprintf(w, "up since %s, container %t\n", info.BootTime.UTC().Format(time.RFC3339),
		info.Containerized != nil && *info.Containerized)
	return nil
}

// configurationFolders lie beside the configuration.
var configurationFolders = []string{"modules.d", "rules.d", "exceptions.d", "windows.d", "onboarding.d"}

// configuration adds the files that are read, without their secrets.
func (a *archive) configuration(where *paths.Path) {
	files := configurationFiles()
	for _, folder := range configurationFolders {
		found, err := filepath.Glob(filepath.Join(where.Config, folder, "*"))
		if err != nil {
			a.fail(folder, err)
		}
		files = append(files, found...)
	}
	for i, file := range files {
		name := filepath.Base(file)
		if dir := filepath.Base(filepath.Dir(file)); slices.Contains(configurationFolders, dir) {
			name = dir + "/" + name
		} else if i > 0 {
			name = fmt.Sprintf("%d-%s", i, name)
		}
		a.add("config/"+name, func(w io.Writer) error {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return maskYAML(w, text)
		})
	}
}

// running adds what the running Beat says of itself.
func (a *archive) running(cfg *config.C) {
	c := api.DefaultConfig
	if sub, err := cfg.Child("http", -1); err == nil {
		if err := sub.Unpack(&c); err != nil {
			a.fail("http", err)
			return
		}
	}
	if !c.Enabled {
		a.fail("metrics and health", errors.New("http.enabled is false, so that a running reconbeat cannot be asked"))
		return
	}
	dial := (&net.Dialer{}).DialContext
	base := "http://" + net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
	if socket, ok := strings.CutPrefix(c.Host, "unix://"); ok {
		base = "http://reconbeat"
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}
	}
	client := http.Client{Timeout: askTimeout, Transport: &http.Transport{DialContext: dial}}
	for page, name := range map[string]string{"": "info", "state": "state", "stats": "stats"} {
		a.add("running/"+name+".json", func(w io.Writer) error {
			resp, err := client.Get(base + "/" + page)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("the running reconbeat answered %s", resp.Status)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, text, "", "  "); err != nil {
				return err
			}
			_, err = w.Write(append(pretty.Bytes(), '\n'))
			return err
		})
	}
}

// listFolder lists each file with its size and when it was written.
func listFolder(w io.Writer, folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		_, err = fmt.Fprintf(w, "%s %12d  %s  %s\n", info.Mode(), info.Size(),
			info.ModTime().UTC().Format(time.RFC3339), path)
		return err
	})
}

// log adds the end of the newest file of the log, and of what the service has written to systemd's journal.
func (a *archive) log(folder string) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	journal, unread := exec.CommandContext(ctx, "journalctl", "--quiet", "--no-pager", "-u", Name, "-n",
		fmt.Sprint(logLines)).Output()
	if len(journal) > 0 {
		a.add("journal.txt", func(w io.Writer) error { return lastLines(w, journal) })
	}
	files, err := filepath.Glob(filepath.Join(folder, Name+"*"))
	files = slices.DeleteFunc(files, func(f string) bool {
		return strings.Contains(f, "event") || strings.HasSuffix(f, ".zip")
	})
	switch {
	case err != nil:
		a.fail("the log", err)
	case len(files) > 0:
		newest := slices.MaxFunc(files, func(a, b string) int { return written(a).Compare(written(b)) })
		a.add("log.txt", func(w io.Writer) error {
			text, err := tail(newest)
			if err != nil {
				return err
			}
			return lastLines(w, text)
		})
	case len(journal) == 0:
		a.fail("the log", errors.Join(fmt.Errorf("no file in %s, and nothing of the service in the journal", folder), unread))
	}
}

// lastLines writes the end of a log without its secrets.
func lastLines(w io.Writer, text []byte) error {
	lines := bytes.SplitAfter(text, []byte("\n"))
	_, err := io.WriteString(w, secret.MaskText(string(bytes.Join(lines[max(0, len(lines)-logLines-1):], nil))))
	return err
}

func written(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// tail reads the end of a file.
func tail(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > logBytes {
		if _, err := f.Seek(-logBytes, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(f)
}

// maskYAML writes a configuration without its secrets, and without comments, which may hold some.
func maskYAML(w io.Writer, text []byte) error {
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return fmt.Errorf("left out, because it is not YAML whose secrets could be masked: %w", err)
	}
	if tree == nil {
		_, err := io.WriteString(w, "# nothing but comments\n")
		return err
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	return errors.Join(e.Encode(secret.Mask("", tree)), e.Close())
}
