// SPDX-License-Identifier: Apache-2.0

package beattest

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
)

// Metric is one of the metrics that a Beat serves on a socket, by its dotted name; -1 while nothing answers, or nothing
// has that name.
func Metric(socket, name string) int {
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	answer, err := client.Get("http://beat/stats")
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	var stats mapstr.M
	if json.NewDecoder(answer.Body).Decode(&stats) != nil {
		return -1
	}
	v, err := stats.GetValue(name)
	if err != nil {
		return -1
	}
	n, ok := v.(float64)
	if !ok {
		return -1
	}
	return int(n)
}
