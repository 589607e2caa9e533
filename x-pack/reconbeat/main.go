// SPDX-License-Identifier: Apache-2.0

// Command reconbeat, the one in x-pack, is reconbeat with Elastic's libbeat management, which is under the Elastic
// License, in the place of reconbeat's own. Tests hold the two side by side. See README.md for what the licence means;
// the reconbeat of the repository's root is linked with nothing of the kind.
//
// What is in here is only what needs Elastic's code: policy.go hands on a policy, agent.go connects. Everything else is
// the same Beat, which reloads and reports through libbeat's interfaces.
package main

import (
	"os"

	"github.com/elastic/beats/v7/libbeat/management"
	xpack "github.com/elastic/beats/v7/x-pack/libbeat/management"

	"github.com/reconbeat/reconbeat/cmd"
)

func main() {
	settings := cmd.Settings()
	settings.ElasticLicensed = true
	root := cmd.RootCommand(settings)
	management.SetManagerFactory(connect) // in the place of reconbeat's own
	xpack.ConfigTransform.SetTransform(modules)
	if err := root.Execute(); err != nil {
		os.Exit(1)
	}
}
