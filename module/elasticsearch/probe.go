// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import "github.com/reconbeat/reconbeat/module"

// Probe says whether the module works here. It works everywhere; what it sees is what agents have shipped to the
// cluster.
func Probe() module.Support {
	return module.Support{
		Works: true,
		Why:   "it needs no more than the right to read indices of a cluster that other agents ship to",
		Sees: []string{
			"the program starts that Elastic Defend, auditd_manager, auditbeat or another agent has shipped, of every host " +
				"in the cluster",
		},
		Blind: []string{
			"what those agents do not see or do not ship",
			"anything between the last time an agent shipped and now, and the last half minute (query_delay)",
		},
		Help: "Name the cluster in hosts, with an API key that has the privileges read and view_index_metadata.",
	}
}
