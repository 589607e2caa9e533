// SPDX-License-Identifier: Apache-2.0

package datastream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Client is what installing needs of libbeat's connection to Elasticsearch.
type Client interface {
	Request(method, path, pipeline string, params map[string]string, body any) (int, []byte, error)
}

// ErrForbidden says that the user of the output may not install assets.
var ErrForbidden = errors.New("the user of the output may not install them")

// Install writes the assets. A lifecycle policy that is there is left as it is, since it may be the user's, unless
// policies is set.
func Install(c Client, assets []Asset, policies bool) error {
	for _, a := range assets {
		if a.Type == Policy && !policies {
			there, err := exists(c, a)
			if err != nil {
				return err
			}
			if there {
				continue
			}
		}
		if status, _, err := c.Request(http.MethodPut, a.Path(), "", nil, a.Body); err != nil {
			return failure("installing "+a.Path(), status, err)
		}
	}
	return nil
}

// Missing reports whether one of the assets' index templates is not there, or is of an older reconbeat.
func Missing(c Client, assets []Asset) (bool, error) {
	for _, a := range assets {
		if a.Type != IndexTemplate {
			continue
		}
		status, answer, err := c.Request(http.MethodGet, a.Path(), "", nil, nil)
		if status == http.StatusNotFound {
			return true, nil
		}
		if err != nil {
			return false, failure("looking for "+a.Path(), status, err)
		}
		var found struct {
			Templates []struct {
				Template struct {
					Version int `json:"version"`
				} `json:"index_template"`
			} `json:"index_templates"`
		}
		if err := json.Unmarshal(answer, &found); err != nil {
			return false, fmt.Errorf("reading the answer about %s: %w", a.Path(), err)
		}
		if len(found.Templates) == 0 || found.Templates[0].Template.Version < a.Body["version"].(int) {
			return true, nil
		}
	}
	return false, nil
}

// Of returns the assets of some types.
func Of(assets []Asset, types ...Type) []Asset {
	return slices.DeleteFunc(slices.Clone(assets), func(a Asset) bool { return !slices.Contains(types, a.Type) })
}

func exists(c Client, a Asset) (bool, error) {
	status, _, err := c.Request(http.MethodGet, a.Path(), "", nil, nil)
	if status == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, failure("looking for "+a.Path(), status, err)
	}
	return true, nil
}

// failure is the error of a request. libbeat's client has put what Elasticsearch said into it.
func failure(doing string, status int, err error) error {
	if status == http.StatusForbidden {
		err = fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
