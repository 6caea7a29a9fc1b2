// What reading an object found, as messages: one analyzer a kind, as in Istio.
import type { AnalysisContext, Analyzer, Finding } from '../analyzer.ts';
import { formatFieldPath } from '../../model/origin.ts';
import { kindName } from '../../config/config.ts';
import { analyzedKinds } from '../kinds.ts';
import type { Saying } from '../messages.ts';
import { says } from '../messages.ts';

/** `schema.ValidationAnalyzer.VirtualService` and so on. */
export const schemaAnalyzers: readonly Analyzer[] = [...new Set(analyzedKinds.map(({ kind }) => kind))].map(
  (kind) => ({
    name: `schema.ValidationAnalyzer.${kind}`,
    description: `${kind}: structure, and the rules that it must keep`,
    run: (context) =>
      reportFindings(context, (finding) => kindName(finding.object.kind) === kind && isOfSchema(finding)),
  }),
);

/** Ours: what this mesh would refuse or leave out although Istio takes it. */
export const support: Analyzer = {
  name: 'fairlead.SupportAnalyzer',
  description: 'Fields and kinds that Fairlead does not do yet',
  run: (context) => reportFindings(context, (finding) => !isOfSchema(finding)),
};

function isOfSchema({ diagnostic }: Finding): boolean {
  return !['not-supported', 'no-effect', 'duplicate', 'unknown-kind', 'not-read'].includes(diagnostic.code);
}

function reportFindings(
  { findings, report }: AnalysisContext,
  isWanted: (finding: Finding) => boolean,
): void {
  for (const finding of findings)
    if (isWanted(finding)) report(sayingOf(finding), finding.object, ...finding.diagnostic.fieldPath);
}

function sayingOf({ diagnostic }: Finding): Saying {
  const { code, severity, message, fieldPath } = diagnostic;
  const text = fieldPath.length === 0 ? message : `${formatFieldPath(fieldPath)}: ${message}`;
  switch (code) {
    case 'not-supported':
    case 'no-effect':
    case 'unknown-kind':
    case 'not-read':
      return says.notSupported(text);
    case 'duplicate':
      return says.duplicateObject(text);
    case 'unreachable-rule':
      return says.virtualServiceUnreachableRule(message);
    case 'ineffective-match':
      return says.virtualServiceIneffectiveMatch(message);
    default:
      return severity === 'error' ? says.schemaValidationError(text) : says.schemaWarning(text);
  }
}
