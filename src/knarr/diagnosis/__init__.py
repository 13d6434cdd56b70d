"""Why an object is not where its spec wants it: rules over plain JSON, for `knarr why`."""
