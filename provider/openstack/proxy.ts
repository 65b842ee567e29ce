import { BlockList, isIP } from "node:net";
import type { Environment } from "./clouds-yaml";
import { Secret } from "./secret";

/** The proxies of http_proxy, https_proxy, all_proxy and no_proxy; their URLs may hold passwords. */
export interface Proxies {
  http?: Secret;
  https?: Secret;
  /** Hosts reached directly, comma separated. */
  except: string;
}

/** Reads the proxy variables, lower case before upper case as curl and requests do. */
export function proxiesOf(environment: Environment): Proxies {
  const read = (name: string) => environment[name] || environment[name.toUpperCase()] || undefined;
  const all = read("all_proxy");
  // HTTP_PROXY in upper case is what a CGI server sets from a request's "Proxy" header, but nothing here is a CGI script.
  const http = read("http_proxy") ?? all;
  const https = read("https_proxy") ?? all;
  return {
    ...(http !== undefined && { http: new Secret(withScheme(http)) }),
    ...(https !== undefined && { https: new Secret(withScheme(https)) }),
    except: read("no_proxy") ?? "",
  };
}

/** The proxy for a URL, or undefined when it is reached directly. */
export function proxyFor(url: URL, proxies: Proxies): URL | undefined {
  const proxy = url.protocol === "https:" ? proxies.https : proxies.http;
  if (!proxy || isExcepted(url, proxies.except)) return undefined;
  return URL.canParse(proxy.reveal()) ? new URL(proxy.reveal()) : undefined;
}

function withScheme(proxy: string): string {
  return /^\w+:\/\//.test(proxy) ? proxy : `http://${proxy}`;
}

function isExcepted(url: URL, except: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return except
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(item => item !== "")
    .some(item => {
      if (item === "*") return true;
      if (item.includes("/")) return isInNetwork(host, item);
      const [, name = item, onlyPort] = /^(.*?)(?::(\d+))?$/.exec(isIP(item) === 6 ? `${item}` : item) ?? [];
      if (isIP(item) === 6) return host === item;
      if (onlyPort !== undefined && onlyPort !== port) return false;
      const suffix = name.replace(/^\*?\./, "");
      return host === suffix || (isIP(host) === 0 && host.endsWith(`.${suffix}`));
    });
}

function isInNetwork(host: string, network: string): boolean {
  const version = isIP(host);
  const [address = "", bits = ""] = network.split("/");
  if (version === 0 || isIP(address) !== version) return false;
  const family = version === 6 ? "ipv6" : "ipv4";
  const list = new BlockList();
  try {
    list.addSubnet(address, Number(bits), family);
  } catch {
    return false;
  }
  return list.check(host, family);
}
