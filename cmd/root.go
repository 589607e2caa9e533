package cmd

import (
	"errors"

	"github.com/elastic/beats/v7/libbeat/beat"
	libcmd "github.com/elastic/beats/v7/libbeat/cmd"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/config"
)

var RootCmd = libcmd.GenRootCmdWithSettings(func(*beat.Beat, *config.C) (beat.Beater, error) { return nil, errors.New("x") }, instance.Settings{Name: "reconbeat"})
