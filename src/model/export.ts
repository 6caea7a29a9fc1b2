// exportTo: which namespaces see an object.

/** `*` is all namespaces, `.` the object's own. An empty list is nobody's: who has a default puts it in first. */
export function isExportedTo(
  exportTo: readonly string[],
  ownNamespace: string,
  clientNamespace: string,
): boolean {
  return exportTo.some(
    (to) => to === '*' || to === clientNamespace || (to === '.' && ownNamespace === clientNamespace),
  );
}
