// SPDX-License-Identifier: Apache-2.0

// Starts one search node on 127.0.0.1 and keeps it until its standard input ends, so that it never outlives the test. Arguments: its data folder, its port.

import org.codelibs.opensearch.runner.OpenSearchRunner;

public class Node {
    public static void main(String[] args) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("discovery.type", "single-node");
            settings.put("http.host", "127.0.0.1");
            settings.put("transport.host", "127.0.0.1");
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
            settings.putList("node.roles", "cluster_manager", "data", "ingest"); // the runner leaves ingest out
        });
        // The runner numbers its nodes from 1 and adds the number to the port.
        runner.build(OpenSearchRunner.newConfigs().basePath(args[0]).numOfNode(1).baseHttpPort(Integer.parseInt(args[1]) - 1).clusterName("reconbeat-test"));
        for (int tries = 0; ; tries++) { // a node that was killed recovers its indices first
            try {
                runner.ensureYellow();
                break;
            } catch (RuntimeException e) {
                if (tries == 5) throw e;
            }
        }
        System.out.println("READY");
        while (System.in.read() >= 0) {}
        runner.close();
        runner.clean(); // its data folder
        System.exit(0);
    }
}
