import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type RenderResult, render } from "@testing-library/react";
import { App } from "antd";
import { type ReactNode, useState } from "react";
import { MemoryRouter, useLocation } from "react-router";

// Shows the address of the page, for assertions.
function ShownAddress() {
  const { pathname, search } = useLocation();
  return <output data-testid="address">{pathname + search}</output>;
}

// The context that every component of the console needs.
export function TestProviders({
  address = "/",
  children,
}: {
  address?: string;
  children: ReactNode;
}) {
  const [client] = useState(
    () => new QueryClient({ defaultOptions: { queries: { retry: false } } }),
  );
  return (
    <QueryClientProvider client={client}>
      <App component={false}>
        <MemoryRouter initialEntries={[address]}>
          {children}
          <ShownAddress />
        </MemoryRouter>
      </App>
    </QueryClientProvider>
  );
}

export function renderPage(page: ReactNode, address?: string): RenderResult {
  return render(<TestProviders {...(address && { address })}>{page}</TestProviders>);
}
