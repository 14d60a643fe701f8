package eventcatalog

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// module is the import path of the sources that Comments reads.
const module = "kubernaut.ai/"

// enumMarker lists the values of a type of the Kubernetes API.
const enumMarker = "+kubebuilder:validation:Enum="

// Comments reads what the fields of types mean from the comments of the module's sources.
type Comments struct {
	root     string
	packages map[string]map[string]typeComments
}

type typeComments struct {
	enum   []any
	fields map[string]string
}

// NewComments reads comments from the module whose root folder is given.
func NewComments(root string) *Comments {
	return &Comments{root: root, packages: make(map[string]map[string]typeComments)}
}

// describe adds the comments of a type's fields to its schema, and the values of its enumerations.
func (c *Comments) describe(s *jsonschema.Schema, t reflect.Type) error {
	if s == nil {
		return nil
	}
	if _, known := wellKnown()[t]; known {
		return nil
	}
	switch t.Kind() { //nolint:exhaustive // other kinds have no parts
	case reflect.Pointer:
		return c.describe(s, t.Elem())
	case reflect.Slice, reflect.Array:
		return c.describe(s.Items, t.Elem())
	case reflect.Map:
		return c.describe(s.AdditionalProperties, t.Elem())
	case reflect.String:
		of, err := c.of(t)
		s.Enum = of.enum
		return err
	case reflect.Struct:
		return c.describeFields(s, t)
	default:
		return nil
	}
}

func (c *Comments) describeFields(s *jsonschema.Schema, t reflect.Type) error {
	of, err := c.of(t)
	if err != nil {
		return err
	}
	for field := range fields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" || strings.Contains(options, "inline") {
			if err := c.describeFields(s, indirect(field.Type)); err != nil {
				return err
			}
			continue
		}
		property := s.Properties[name]
		if property == nil {
			continue
		}
		if err := c.describe(property, field.Type); err != nil {
			return err
		}
		property.Description = of.fields[field.Name]
		if property.Description == "" {
			property.Description = glossary[name]
		}
	}
	return nil
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// fields are those of a struct that JSON may have.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for f := range t.Fields() {
			if (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-" && !yield(f) {
				return
			}
		}
	}
}

// of returns the comments of a type; none for types of other modules.
func (c *Comments) of(t reflect.Type) (typeComments, error) {
	path, ours := strings.CutPrefix(t.PkgPath(), module)
	if !ours {
		return typeComments{}, nil
	}
	found, read := c.packages[path]
	if !read {
		var err error
		if found, err = readPackage(filepath.Join(c.root, filepath.FromSlash(path))); err != nil {
			return typeComments{}, err
		}
		c.packages[path] = found
	}
	name, _, _ := strings.Cut(t.Name(), "[") // of a generic type
	return found[name], nil
}

func readPackage(dir string) (map[string]typeComments, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	found := make(map[string]typeComments)
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, entry.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read sources: %w", err)
		}
		for _, decl := range file.Decls {
			if types, ok := decl.(*ast.GenDecl); ok && types.Tok == token.TYPE {
				readTypes(types, found)
			}
		}
	}
	return found, nil
}

func readTypes(decl *ast.GenDecl, found map[string]typeComments) {
	for _, spec := range decl.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		doc := t.Doc
		if doc == nil {
			doc = decl.Doc
		}
		comments := typeComments{enum: enumOf(doc), fields: make(map[string]string)}
		if fields, ok := t.Type.(*ast.StructType); ok {
			for _, field := range fields.Fields.List {
				for _, name := range field.Names {
					comments.fields[name.Name] = text(field)
				}
			}
		}
		found[t.Name.Name] = comments
	}
}

// text is what a comment says in one line, without the markers of generators.
func text(field *ast.Field) string {
	group := field.Doc
	if group == nil {
		group = field.Comment
	}
	var words []string
	for line := range strings.Lines(group.Text()) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "+") {
			words = append(words, line)
		}
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

func enumOf(doc *ast.CommentGroup) []any {
	if doc == nil {
		return nil
	}
	for _, line := range doc.List {
		if _, values, ok := strings.Cut(line.Text, enumMarker); ok {
			var enum []any
			for value := range strings.SplitSeq(values, ";") {
				enum = append(enum, strings.Trim(value, `"`))
			}
			return enum
		}
	}
	return nil
}
