// Answers what upstream's field manager makes of one apply or update. See README.md.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

type request struct {
	Apply       bool                   `json:"apply"`
	Live        map[string]interface{} `json:"live"`
	Given       map[string]interface{} `json:"given"`
	Manager     string                 `json:"manager"`
	Force       bool                   `json:"force"`
	Subresource string                 `json:"subresource"`
	Reset       []string               `json:"reset"`
}

type answer struct {
	Object runtime.Object `json:"object,omitempty"`
	Error  string         `json:"error,omitempty"`
	Causes [][]string     `json:"causes,omitempty"`
}

// undefaulted fills in nothing: defaults are the caller's.
type undefaulted struct{}

func (undefaulted) Default(runtime.Object) {}

var converter = applyconfigurations.NewTypeConverter(scheme.Scheme)

func main() {
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := json.NewEncoder(os.Stdout)
	for {
		var asked request
		if in.Decode(&asked) != nil {
			return
		}
		made, err := merged(asked)
		if err != nil {
			out.Encode(refusal(err))
		} else {
			out.Encode(answer{Object: made})
		}
	}
}

func merged(asked request) (runtime.Object, error) {
	given := &unstructured.Unstructured{Object: whole(asked.Given).(map[string]interface{})}
	kind := given.GroupVersionKind()
	manager, err := managedfields.NewDefaultFieldManager(
		converter, runtime.UnsafeObjectConvertor(scheme.Scheme), undefaulted{}, scheme.Scheme,
		kind, kind.GroupVersion(), asked.Subresource, reset(kind, asked.Reset))
	if err != nil {
		return nil, err
	}
	live, err := typed(asked.Live, kind)
	if err != nil {
		return nil, err
	}
	if asked.Apply {
		return manager.Apply(live, given, asked.Manager, asked.Force)
	}
	wanted, err := typed(asked.Given, kind)
	if err != nil {
		return nil, err
	}
	return manager.Update(live, wanted, asked.Manager)
}

func reset(kind schema.GroupVersionKind, names []string) map[fieldpath.APIVersion]fieldpath.Filter {
	set := fieldpath.NewSet()
	for _, name := range names {
		set.Insert(fieldpath.MakePathOrDie(name))
	}
	version := fieldpath.APIVersion(kind.GroupVersion().String())
	return map[fieldpath.APIVersion]fieldpath.Filter{version: fieldpath.NewExcludeSetFilter(set)}
}

func typed(content map[string]interface{}, kind schema.GroupVersionKind) (runtime.Object, error) {
	made, err := scheme.Scheme.New(kind)
	if err != nil || content == nil {
		return made, err
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, made); err != nil {
		return nil, err
	}
	made.GetObjectKind().SetGroupVersionKind(kind)
	return made, nil
}

func refusal(err error) answer {
	made := answer{Error: err.Error()}
	if told, ok := err.(apierrors.APIStatus); ok && told.Status().Details != nil {
		for _, cause := range told.Status().Details.Causes {
			made.Causes = append(made.Causes, []string{cause.Field, string(cause.Type), cause.Message})
		}
	}
	return made
}

// whole turns whole numbers into integers, as the server's decoder does.
func whole(value interface{}) interface{} {
	switch found := value.(type) {
	case map[string]interface{}:
		for key, each := range found {
			found[key] = whole(each)
		}
	case []interface{}:
		for index, each := range found {
			found[index] = whole(each)
		}
	case float64:
		if found == float64(int64(found)) {
			return int64(found)
		}
	}
	return value
}
