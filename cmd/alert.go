// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/common/acker"
	"github.com/elastic/beats/v7/libbeat/outputs"
	"github.com/elastic/beats/v7/libbeat/publisher/pipeline"
	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/engine"
)

func newTestAlertCommand(settings instance.Settings, stack *stackSetup) *cobra.Command {
	var timeout time.Duration
	var whole bool
	c := &cobra.Command{
		Use:   "alert",
		Short: "Send one alert, marked as a test, through the configured output, and say whether it was acknowledged",
		Long: `alert sends one alert through processors and output as they are configured, and waits until the output has
acknowledged it. The document has reconbeat.alert.test: true, which the shipped rules and dashboards in Kibana leave
out; in everything else it is an alert. A running reconbeat is not disturbed.

With --exec it tries the whole way, through the reconbeat that runs on this host: it starts a harmless program under
the name of a rule's, and waits until the kernel, a module, the detector and the output have brought its alert. It says
where it stopped. Nothing is learned from it, no control is asked, and no other alert is changed by it.

The exit status is 1 when the alert was rejected, dropped by a processor, or not acknowledged in time; then alert
prints the reason.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if timeout <= 0 {
				return fmt.Errorf("--timeout %s is not allowed; it must be more than 0s", timeout)
			}
			if whole {
				return tryTheWholeWay(os.Stdout, settings, timeout)
			}
			return testAlert(settings, stack, timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the output")
	c.Flags().BoolVar(&whole, "exec", false,
		"try the whole way of the running reconbeat: kernel, module, detector, output")
	return c
}

func testAlert(settings instance.Settings, stack *stackSetup, timeout time.Duration) error {
	b, err := instance.NewInitializedBeat(settings)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return err
	}
	if err := stack.hook(&b.Beat); err != nil { // else the first document would make a data stream without our mappings
		return err
	}
	if !b.Config.Output.IsSet() {
		return errors.New("no output is configured; name one under `output`")
	}
	alert, err := engine.TestAlert(cfg, b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath), b.Info, time.Now())
	if err != nil {
		return err
	}
	v := newVerdict()
	b.Info.Logger = b.Info.Logger.WithOptions(zap.WrapCore(func(log zapcore.Core) zapcore.Core {
		return zapcore.NewTee(log, v.listener()) // there may be no log otherwise
	}))
	makeOutput := b.MakeOutputFactory(b.Config.Output)
	p, err := pipeline.LoadWithSettings(
		b.Info,
		pipeline.Monitors{Metrics: monitoring.NewRegistry(), Logger: b.Info.Logger},
		b.Config.Pipeline,
		func(stats outputs.Observer) (string, outputs.Group, error) {
			v.Observer = stats
			return makeOutput(v)
		},
		pipeline.Settings{Processors: b.GetProcessors(), Paths: b.Paths},
	)
	if err != nil {
		return fmt.Errorf("making the output: %w", err)
	}
	defer p.Close()
	client, err := p.ConnectWith(beat.ClientConfig{
		PublishMode:    beat.GuaranteedSend,
		EventListener:  acker.EventPrivateReporter(func(int, []any) { v.settle() }),
		ClientListener: v,
	})
	if err != nil {
		return fmt.Errorf("connecting to the output: %w", err)
	}
	defer client.Close()
	fmt.Printf("alert    _id %v\nto       data stream %s\nthrough  output.%s\n",
		alert.Meta["_id"], dataset.Alert.Stream(cfg.Dataset, cfg.Namespace), b.Config.Output.Name())
	began := time.Now()
	client.Publish(*alert)
	if err := v.wait(timeout); err != nil {
		return err
	}
	fmt.Printf("acknowledged after %s\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// verdict is what became of the one alert: it listens to the output's observer, to the pipeline, and to the log, where
// outputs give their reasons.
type verdict struct {
	outputs.Observer
	learned chan struct{} // signalled when something was learned

	mu       sync.Mutex
	settled  bool // the pipeline is done with it
	acked    bool
	filtered bool
	failure  string // why the output did not take it
	reason   string // the last complaint in the log
}

func newVerdict() *verdict { return &verdict{learned: make(chan struct{}, 1)} }

func (v *verdict) learn(what func()) {
	v.mu.Lock()
	what()
	v.mu.Unlock()
	select {
	case v.learned <- struct{}{}:
	default:
	}
}

func (v *verdict) settle() { v.learn(func() { v.settled = true }) }

// AckedEvents is called when the output has acknowledged the alert.
func (v *verdict) AckedEvents(n int) {
	v.Observer.AckedEvents(n)
	v.learn(func() { v.acked = v.acked || n > 0 })
}

// DuplicateEvents is called when the output has the alert already, from an attempt whose answer was lost.
func (v *verdict) DuplicateEvents(n int) {
	v.Observer.DuplicateEvents(n)
	v.learn(func() { v.acked = v.acked || n > 0 })
}

// PermanentErrors is called when the output has rejected the alert.
func (v *verdict) PermanentErrors(n int) {
	v.Observer.PermanentErrors(n)
	v.fail(n, "the output rejected the alert")
}

// DeadLetterEvents is called when the output has put the alert aside.
func (v *verdict) DeadLetterEvents(n int) {
	v.Observer.DeadLetterEvents(n)
	v.fail(n, "the output rejected the alert and put it into the dead letter index")
}

// FailureStoreEvents is called when the data stream has put the alert aside.
func (v *verdict) FailureStoreEvents(n int) {
	v.Observer.FailureStoreEvents(n)
	v.fail(n, "the data stream could not take the alert and put it into its failure store")
}

func (v *verdict) fail(n int, what string) {
	if n > 0 {
		v.learn(func() { v.failure = what })
	}
}

// Filtered is called when a processor has dropped the alert.
func (v *verdict) Filtered() { v.learn(func() { v.filtered = true }) }

// DroppedOnPublish is called when the pipeline has not taken the alert.
func (v *verdict) DroppedOnPublish(beat.Event) {
	v.fail(1, "libbeat's pipeline did not take the alert")
}

// NewEvent does nothing: an event on its way decides nothing yet.
func (v *verdict) NewEvent() {}

// Published does nothing: the output has yet to answer.
func (v *verdict) Published() {}

// Closing does nothing: the end of the client decides nothing.
func (v *verdict) Closing() {}

// Closed does nothing: the end of the client decides nothing.
func (v *verdict) Closed() {}

// listener is a log that only hears complaints.
func (v *verdict) listener() zapcore.Core {
	silent := zapcore.NewCore(
		zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zapcore.WarnLevel)
	return zapcore.RegisterHooks(silent, v.hear)
}

// hear keeps the last complaint that was logged.
func (v *verdict) hear(e zapcore.Entry) error {
	if e.Level >= zapcore.WarnLevel {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.reason = e.Message
		if i := strings.LastIndex(v.reason, "(status="); i >= 0 { // libbeat prints the whole document before it
			v.reason = v.reason[i:]
		}
	}
	return nil
}

// wait waits until it is known what became of the alert.
func (v *verdict) wait(timeout time.Duration) error {
	end := time.NewTimer(timeout)
	defer end.Stop()
	for {
		late := false
		select {
		case <-v.learned:
		case <-end.C:
			late = true
		}
		v.mu.Lock()
		filtered, done, failure, reason := v.filtered, v.settled && v.acked, v.failure, v.reason
		v.mu.Unlock()
		switch {
		case filtered:
			return errors.New("a processor of the configuration dropped the alert; real ones would be dropped as well")
		case failure != "":
			return because(failure, reason)
		case done:
			return nil
		case late:
			return because(fmt.Sprintf("the output has not acknowledged the alert within %s", timeout), reason)
		}
	}
}

func because(what, reason string) error {
	if reason == "" {
		return errors.New(what)
	}
	return fmt.Errorf("%s: %s", what, reason)
}
