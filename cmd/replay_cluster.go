// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/module/elasticsearch"
)

// clusterModule is the module whose recordings are no files.
const clusterModule = "elasticsearch"

// since is from when on a cluster's history is to be read; of files, all is.
func (f *replayFlags) since(now time.Time) (time.Time, error) {
	const beginning = "beginning"
	switch {
	case f.module != clusterModule && f.from != "":
		return time.Time{}, errors.New("--from is for --module elasticsearch; a file is read from its beginning")
	case f.module != clusterModule || f.from == beginning:
		return time.UnixMilli(0), nil
	case f.from == "":
		return time.Time{}, errors.New("--from is missing: from when on is the cluster's history to be read? Such as " +
			"--from now-60d")
	}
	t, err := elasticsearch.ParseTime(f.from, now)
	if err != nil {
		return time.Time{}, fmt.Errorf("--from: %w", err)
	}
	return t, nil
}

// teaching is what the model would learn, in words.
func (f *replayFlags) teaching() string {
	if f.module == clusterModule {
		return "what the cluster's documents teach"
	}
	return "what these files teach"
}

// replayCluster runs what the configured cluster has through the engine. It returns what it has read, in words.
func replayCluster(
	ctx context.Context, r *engine.Replay, b *instance.Beat, cfg config.Config, from string,
) ([]string, error) {
	c, err := configuredCluster(b, cfg)
	if err != nil {
		return nil, err
	}
	if err := c.SetString("from", -1, from); err != nil {
		return nil, fmt.Errorf("setting from: %w", err)
	}
	began := time.Now()
	stop := statusLine(func() string {
		read, total := r.Read()
		return progressOfCluster(read, total, time.Since(began))
	})
	err = r.Cluster(ctx, c)
	stop()
	if err != nil {
		return nil, fmt.Errorf("the cluster's documents: %w", err)
	}
	return []string{"the cluster's documents since " + from}, ctx.Err()
}

// configuredCluster are the settings of the module elasticsearch, in reconbeat.yml or modules.d.
func configuredCluster(b *instance.Beat, cfg config.Config) (*conf.C, error) {
	all := cfg.Modules
	if glob := cfg.ConfigModules.Path; glob != "" {
		if !filepath.IsAbs(glob) {
			glob = b.Paths.Resolve(paths.Config, glob)
		}
		files, err := filepath.Glob(glob)
		if err != nil {
			return nil, fmt.Errorf("reconbeat.config.modules.path: %q is not a pattern: %w", glob, err)
		}
		for _, file := range files {
			list, err := cfgfile.LoadList(file, b.Info.Logger)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
	}
	var found []*conf.C
	var ids []string
	for _, c := range all {
		if m, err := config.ParseModule(c); err == nil && m.Module == clusterModule && c.Enabled() {
			found = append(found, c)
			ids = append(ids, m.ID)
		}
	}
	switch len(found) {
	case 0:
		return nil, errors.New("no module elasticsearch is configured: `reconbeat modules enable elasticsearch` and name " +
			"the cluster in modules.d/elasticsearch.yml, or under reconbeat.modules in reconbeat.yml")
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d modules elasticsearch are configured, %s, and replay reads one: name a configuration file "+
		"that has one with -c", len(found), strings.Join(ids, ", "))
}

// progressOfCluster says how many documents have been read, and how long the others will take.
func progressOfCluster(read, total int64, since time.Duration) string {
	if total == 0 {
		return "counting the cluster's documents"
	}
	read = min(read, total) // more may have come meanwhile
	line := fmt.Sprintf("%d of %d documents, %d%%", read, total, 100*read/total)
	if read > 0 && since > 3*time.Second {
		left := time.Duration(float64(since) * float64(total-read) / float64(read))
		line += ", about " + left.Round(time.Second).String() + " left"
	}
	return line
}
