// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"testing"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/host"
)

// testHost is the host of testEngine.
var testHost = host.Description{ID: "host", Fields: mapstr.M{"id": "host", "name": "web-1"}}

// testEngine is an engine with the defaults, whose documents go nowhere.
func testEngine(t testing.TB) *engine.Engine {
	options, err := engine.DetectorOptions(config.Default(), t.TempDir(), testHost)
	require.NoError(t, err)
	e, err := engine.New(engine.Options{
		Config: config.Default(), Detector: options, Host: testHost, Logger: logp.NewNopLogger(),
		Publish: func(*document.Document) {},
	})
	require.NoError(t, err)
	return e
}
