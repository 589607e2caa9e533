// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// writeKibana makes the package's folder kibana of what the Beat loads into Kibana (_meta/kibana): dashboards, data
// views and the tag as they are, each detection rule as a rule that Fleet offers for installation. Of a dashboard's two
// files the second, with the links, comes last and stays. Saved queries have no place in a package and stay out.
func writeKibana(dir, from string) error {
	to := filepath.Join(dir, "kibana")
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	objects, err := filepath.Glob(filepath.Join(from, "7", "*", "*.json"))
	if err != nil {
		return err
	}
	for _, file := range objects {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var object struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		}
		if err := json.Unmarshal(text, &object); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		folder, has := map[string]string{"dashboard": "dashboard", "index-pattern": "index_pattern",
			"tag": "tag"}[object.Type]
		if !has {
			continue
		}
		if err := writeAsset(filepath.Join(to, folder), object.ID, text); err != nil {
			return err
		}
	}
	rules, err := os.ReadFile(filepath.Join(from, "rules", "reconbeat.ndjson"))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(rules) {
		var rule struct {
			ID      string `json:"rule_id"`
			Version int    `json:"version"`
		}
		if err := json.Unmarshal(line, &rule); err != nil {
			return fmt.Errorf("a detection rule: %w", err)
		}
		// The version in the id lets the old asset live beside the new one, so that Kibana can show what an update
		// changes.
		id := rule.ID + "_" + strconv.Itoa(rule.Version)
		text, err := json.Marshal(
			map[string]any{"id": id, "type": "security-rule", "attributes": json.RawMessage(line)})
		if err != nil {
			return err
		}
		if err := writeAsset(filepath.Join(to, "security_rule"), id, text); err != nil {
			return err
		}
	}
	return nil
}

// writeAsset writes an object into a folder, in lines that a person can read.
func writeAsset(folder, id string, text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	b.WriteByte('\n')
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, id+".json"), b.Bytes(), 0o644)
}
