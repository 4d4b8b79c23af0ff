import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect } from "react";
import { useLocation, useNavigate, useRouteError } from "react-router";
import { ApiError, isNotFound, isUnreachable } from "@/api/problem";
import { NotFound } from "@/app/not-found";
import { FailureNote } from "@/components/ui/failure-note";
import { Page } from "@/components/ui/page";
import { MissingChunkError } from "@/lib/lazy-chunk";

const RETRY_PAUSE = 5_000; // ms

export function RouteFailure() {
  const error = useRouteError();
  const client = useQueryClient();
  const location = useLocation();
  const navigate = useNavigate();
  const unreachable = isUnreachable(error);

  const retry = useCallback(() => {
    if (error instanceof MissingChunkError) {
      // While the gateway is unreachable, a reload would replace the page with the browser's error.
      fetch("/", { cache: "no-store" }).then(
        (response) => response.ok && window.location.reload(),
        () => undefined,
      );
      return;
    }
    if (!isUnreachable(error) && !(error instanceof ApiError)) {
      window.location.reload();
      return;
    }
    client.removeQueries({ predicate: ({ state }) => state.status === "error" });
    // Navigating to the same address resets the error boundary; revalidating does not.
    void navigate(location, { replace: true });
  }, [client, error, location, navigate]);

  useEffect(() => {
    if (!unreachable) return undefined;
    const timer = setInterval(retry, RETRY_PAUSE);
    return () => clearInterval(timer);
  }, [unreachable, retry]);

  if (isNotFound(error)) return <NotFound />;
  return (
    <Page>
      <FailureNote error={error} onRetry={retry} />
    </Page>
  );
}
