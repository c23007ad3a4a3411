import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

public class HttpHook {
    static volatile String state = "Idle";
    static final AtomicInteger jobs = new AtomicInteger(); // counted up and down by your code

    public static void main(String[] arguments) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("0.0.0.0", 8080), 0);
        server.createContext("/prestop", exchange -> {
            state = Map.of("POST", "Prepared", "DELETE", "Idle").getOrDefault(exchange.getRequestMethod(), state);
            var body = String.format("{\"state\": \"%s\", \"inflight\": %d}", state, jobs.get()).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
