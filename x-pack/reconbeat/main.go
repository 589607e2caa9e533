// SPDX-License-Identifier: Apache-2.0

// Command reconbeat, the one in x-pack, is reconbeat that an Elastic Agent can run: it is linked with Elastic's libbeat
// management, which is under the Elastic License. See README.md for what that means; the reconbeat of the repository's
// root is linked with nothing of the kind.
//
// The Agent starts it as reconbeat.spec.yml says and hands it the policy. What is in here is only what needs Elastic's
// code: policy.go translates a policy into modules, agent.go connects. Everything else is the same Beat, which reloads
// and reports through libbeat's interfaces.
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
